import type { UpstreamError } from '../errors.ts'
import type { AssistantDay, CostBucket, DirectoryEntry, UsageBucket } from '../ledger/bucket.ts'
import type { SpendLimitApi } from './spend-limit.ts'
import type { Wire } from './wire.ts'

/** Half-open, UTC epoch milliseconds. */
export type Range = { readonly start: number; readonly end: number }

/** One vendor whose models are billed. A missing capability means that the vendor cannot do it. */
export type Provider = {
  readonly id: string
  readonly name: string
  /** Absent: cannot be synced. */
  readonly admin?: AdminApi
  /** Absent: cannot be proxied. */
  readonly wire?: Wire
}

/** A provider's organisation API: what the organisation used and what it cost. GET only, but for limits. */
export type AdminApi = {
  /** The real host, with the path prefix that every request shares and no trailing slash. */
  readonly base_url: string
  /** Paths below `base_url` that may be asked for; everything else is refused before it leaves. */
  readonly paths: readonly RegExp[]
  /** The variable that points `base_url` elsewhere: `OUTLAY_<PROVIDER>_ADMIN_BASE_URL`. */
  readonly base_url_env: string
  /** Where a person makes the right kind of key. */
  readonly key_help: {
    /** With its article and how it begins: `an admin key (sk-admin-…)`. */
    readonly kind: string
    /** A sentence on who can make one, or what will not do instead. */
    readonly note: string
    readonly url: string
    readonly env: string
  }
  /** Why this text cannot be the right kind of key, as a sentence that says which kind is; or null. */
  refuseKey(key: string): string | null
  headers(key: string): Readonly<Record<string, string>>
  /** Reads the machine-readable part of an error body. The message is never taken over. */
  parseError(body: unknown): { readonly code?: string; readonly param?: string }
  /** Proves the key and says whose it is. `id` is stable for an organisation whatever key is used. */
  identify(get: Get): Promise<{ readonly id: string; readonly name: string | null }>
  readonly reports: readonly Report[]
  /** Absent: the provider has no limit of its own that an API could set. */
  readonly spend_limit?: SpendLimitApi
  /** Names for ids. Entries found before a failure are in `entries` all the same. */
  listNames(get: Get): Promise<{ entries: DirectoryEntry[]; failures: UpstreamError[] }>
}

/** One question to a report: a path below the base URL and its parameters, in the order sent. */
export type Query = {
  readonly path: string
  readonly params: readonly (readonly [name: string, value: string])[]
  readonly headers?: Readonly<Record<string, string>>
  /** Gets the headers of a good answer, names in lower case: what the body does not say. */
  readonly onHeaders?: (headers: Readonly<Record<string, string | undefined>>) => void
}

/** Sends one query and gives the parsed JSON body; retries, limits and redaction are inside. */
export type Get = (query: Query) => Promise<unknown>

/** A stream of buckets with one cadence. Money and usage of one bucket always come from one variant. */
export type Report = {
  /** Unique within the provider: `cost`, `usage.completions`, …. */
  readonly name: string
  readonly view: 'cost' | 'usage' | 'both' | 'assistant'
  readonly bucket_ms: number
  /** The longest range that one read may span. */
  readonly window_ms: number
  readonly every_ms: number
  /** How far back every run reads again, since providers restate. */
  readonly lookback_ms: number
  /** How long after a bucket's end its cost is taken as complete. */
  readonly settle_ms: number
  /** The oldest instant that can be asked for, or -Infinity. */
  floor(now: number): number
  /** False where the provider never serves the bucket that is still running. */
  readonly serves_current: boolean
  /** Tried in order; a refusal (see `refuses`) makes the next one answer the whole window. */
  readonly variants: readonly Variant[]
}

export type Variant = {
  /** Names the report generation and what its rows are broken out by: `analytics:v1`. */
  readonly grouping: string
  /** Ranges that this variant can answer; a window is cut at its edges. Default: all. */
  range?(now: number): Range
  /** True when the error says that this variant is not to be had, and another may be. */
  refuses?(error: UpstreamError): boolean
  /** Reads the whole range. Every page is fetched through `pages`, which knows the page contract. */
  read(range: Range, pages: Pages, get: Get): Promise<ReportRows>
}

export type ReportRows = {
  readonly usage: UsageBucket[]
  readonly cost: CostBucket[]
  readonly assistant: AssistantDay[]
  /** Rows that could not be read: where (bucket, when known) and why, in our words. */
  readonly malformed: { readonly bucket_start: number | null; readonly reason: string }[]
  /** How many rows had unknown fields or values; they are kept with their raw text. */
  unfamiliar: number
  /** The provider's own word on how fresh this is, if it says. */
  refreshed_at: string | null
}

/**
 * Follows one query through its pages. `parse` turns a body into rows (side effect on the caller's
 * lists) and gives the parameters that name the next page, or null when drained.
 * @throws UpstreamError `contract_violation` on a promised page without a token, on a repeated token,
 * on too many pages; `window_too_large` when the range must be split.
 */
export type Pages = (
  query: Query,
  parse: (body: unknown) => readonly (readonly [name: string, value: string])[] | null,
) => Promise<void>

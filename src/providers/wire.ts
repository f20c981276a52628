import type { Nanos } from '../money.ts'
import { NO_USAGE, type Unit, type Usage } from '../usage.ts'

/**
 * How a provider's inference API is spoken: which routes there are, what each costs, where an answer
 * says what it used, and how errors look. Only facts and pure functions; the proxy does the rest.
 */
export type Wire = {
  /** The real host, with the path prefix that every request shares and no trailing slash. */
  readonly base_url: string
  /** In order: the first one whose prefix a path has speaks for it. */
  readonly surfaces: readonly Surface[]
}

export type Surface = {
  /** Below the base URL; `/` takes every path. */
  readonly prefix: string
  /** The path below the base URL, with what clients get wrong put right. */
  repairPath(path: string): string
  /** The one header that carries the provider's key. `header` reads the client's request. */
  authorize(secret: string, header: Header): readonly [name: string, value: string]
  /** Headers of the client's own account at the provider, which mean nothing under another key. */
  readonly account_headers: readonly string[]
  /** What a request of our own must carry beside the key. */
  readonly poll_headers: Readonly<Record<string, string>>
  /** The header in which the provider names its request. */
  readonly request_id_header: string
  readonly errors: ErrorFormat
  /** The first that matches wins; a path without one is refused. */
  readonly routes: readonly Route[]
  /** For a request to the mount itself, whose body names the model: where it goes, and what is taken out. */
  readonly root?: {
    readonly api: Api
    locate(ask: Ask): {
      readonly path: string
      readonly query: string
      readonly drop: readonly string[]
    }
  }
  /** The longest prompt and the longest answer of a model, in tokens; never less than the real ones. */
  limitsOf(model: string): { readonly context: number; readonly output: number }
}

export type Header = (name: string) => string | undefined

export type Route = {
  readonly method: 'GET' | 'POST' | 'DELETE' | 'PATCH' | 'PUT'
  /** On the repaired path. Named groups: `model`, `id`. */
  readonly path: RegExp
} & (
  | { readonly rule: 'metered'; readonly api: Api }
  /** Costs nothing and says nothing of usage. */
  | { readonly rule: 'free' }
  /** Costs nothing, but may tell what an earlier request used. */
  | { readonly rule: 'told_later'; readonly api: Api }
  | { readonly rule: 'refused'; readonly reason: string }
)

/** One family of requests whose bodies, answers and counting are alike. */
export type Api = {
  readonly name: string
  /** What a request asks for. `text` is the body as it came, for cheap searches. */
  readRequest(body: JsonObject, text: string, path: PathParams): Ask
  /** Where an answer names itself, the first event of a stream as well: the id that telemetry tells too. */
  readonly answer_ids?: readonly (readonly string[])[]
  /** An event whose data has none of these members, or only null, is not parsed. */
  readonly markers: readonly string[]
  /** After an event that contains this text, or is `[DONE]`, no usage follows. */
  readonly endings: readonly string[]
  createMeter(ask: Ask): Meter
  /** The model's text in one event, for an estimate when the stream breaks. */
  readText(event: JsonObject): string
  /** Where the limit of output stands, most wanted first; a clamp lowers or inserts it. */
  readonly caps: readonly (readonly string[])[]
  /** Whether usage in a stream must be asked for in the body (`stream_options.include_usage`). */
  readonly asks_for_usage: boolean
  /** Where a job's usage is asked for, below the path that it was made at. */
  readonly jobPath?: (job_id: string) => string
  /** The requests in a form that is uploaded for a later batch, null for one that no rule bounds; or null. */
  readonly readUpload?: (form: JsonObject) => Iterable<BatchRequest | null> | null
  /** An error as an event of this API's stream. */
  readonly stream_error: 'openai' | 'responses' | 'anthropic' | 'google'
}

export type PathParams = Readonly<Record<string, string | undefined>>

export type Ask = {
  readonly model: string | null
  readonly is_stream: boolean
  /** Of one choice; null: whatever the model's limit is. */
  readonly output_tokens_max: number | null
  /** How many answers are generated, shown or not. */
  readonly choices: number
  /** Pictures, files, stored history, searches: input that the body's bytes do not bound. */
  readonly has_unbounded_input: boolean
  /** How often server tools make the model read its input; null: without a limit. */
  readonly passes: number | null
  /** The kinds of tokens beyond text that can be billed. */
  readonly modalities: readonly ('audio' | 'image')[]
  readonly cache_write: '1h' | '5m' | null
  /** Billed by count; `max` null: without a limit. */
  readonly units: readonly { readonly unit: Unit; readonly max: number | null }[]
  readonly service_tier: string | null
  readonly speed: 'fast' | null
  readonly inference_geo: string | null
  readonly has_usage_option: boolean
  /** The answer comes at once and the usage later. */
  readonly is_background: boolean
  readonly user: string | null
  readonly session: string | null
  /** What the request itself proves to be used, where the answer says nothing. */
  readonly estimate: { readonly usage: Partial<Usage>; readonly is_exact: boolean } | null
  /** Models that can answer, or work, besides: their price and their budgets are not the model's. */
  readonly other_models: readonly string[]
  /** What is to be done later: requests in the body, or in a file that was uploaded before. */
  readonly batch:
    | { readonly requests: readonly BatchRequest[] }
    | { readonly file_id: string }
    | null
}

/** One request of a batch: bounded as if it were sent at once, since no discount is certain before the bill. */
export type BatchRequest = {
  readonly ask: Ask
  readonly body: JsonObject
  readonly body_bytes: number
  /** As uploaded, where members could stand in it twice. */
  readonly bytes?: Buffer
}

export const NO_ASK: Ask = Object.freeze({
  model: null,
  is_stream: false,
  output_tokens_max: 0,
  choices: 1,
  has_unbounded_input: false,
  passes: 1,
  modalities: [],
  cache_write: null,
  units: [],
  service_tier: null,
  speed: null,
  inference_geo: null,
  has_usage_option: false,
  is_background: false,
  user: null,
  session: null,
  estimate: null,
  other_models: [],
  batch: null,
})

/** What an answer says that it used. */
export type Reading = {
  /** In disjoint classes, normalised from the provider's own counting. */
  readonly usage: Usage
  /** As the provider spelled it. */
  readonly model: string | null
  readonly service_tier: string | null
  readonly speed: 'fast' | null
  readonly inference_geo: string | null
  /** What the provider itself says it cost. */
  readonly reported_cost_nanos: Nanos | null
  /** False: the counts contradicted each other and were cut to fit. */
  readonly is_consistent: boolean
  /** Billed with it under another model or another unit. */
  readonly beside: readonly Omit<Reading, 'beside'>[]
}

/** Gathers one answer's usage: from its one body, or from its events in order. */
export type Meter = {
  take(value: JsonObject): void
  /** Null: nothing was said yet. */
  reading(): Reading | null
  /** Whether the reading is the whole of it, and not what a broken answer got to. */
  isFinal(): boolean
  /** The provider's id of a job that goes on after its answer, and whether it is over. */
  job(): { readonly id: string; readonly is_over: boolean } | null
}

export type ProblemKind =
  | 'budget_exceeded'
  | 'key_unknown'
  | 'key_revoked'
  | 'not_allowed'
  | 'model_unpriced'
  | 'rate_limited'
  | 'bad_request'
  | 'too_large'
  | 'encoding_unsupported'
  | 'not_found'
  | 'upgrade_refused'
  | 'upstream_key_refused'
  | 'upstream_unreachable'
  | 'unavailable'

/** Why the proxy answers itself. `message` is for the person who reads the client's error. */
export type Problem = {
  readonly kind: ProblemKind
  readonly message: string
  /** For `rate_limited` only. */
  readonly retry_after_s?: number
}

export type ErrorFormat = {
  readonly statuses: Readonly<Record<ProblemKind, number>>
  body(problem: Problem, request_id: string): JsonObject
}

export type JsonObject = { readonly [name: string]: unknown }

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value at a path of members, or undefined where one of them is missing. */
export function valueAt(value: unknown, ...path: readonly string[]): unknown {
  let here = value
  for (const name of path) {
    if (!isObject(here)) return undefined
    here = here[name]
  }
  return here
}

/** A count of tokens: anything else than a whole number above zero is none. */
export function countAt(value: unknown, ...path: readonly string[]): number {
  const count = valueAt(value, ...path)
  return Number.isSafeInteger(count) && (count as number) > 0 ? (count as number) : 0
}

export function textAt(value: unknown, ...path: readonly string[]): string | null {
  const text = valueAt(value, ...path)
  return typeof text === 'string' && text !== '' ? text : null
}

export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const list = valueAt(value, ...path)
  return Array.isArray(list) ? list : []
}

/** Larger limits, other types and negatives cannot be meant: the model's own limit then bounds. */
const CAP_MAX = 10_000_000

/** A limit that a request sets, or null. Multipart bodies carry numbers as text. */
export function capAt(value: unknown, ...path: readonly string[]): number | null {
  const cap = valueAt(value, ...path)
  const number = typeof cap === 'string' && /^\d{1,9}$/.test(cap) ? Number(cap) : cap
  return Number.isSafeInteger(number) && (number as number) >= 0 && (number as number) <= CAP_MAX
    ? (number as number)
    : null
}

/**
 * The limit that several names can set: of those present the largest, since servers differ in which they
 * obey, and none where one of them cannot be read.
 */
export function largestCap(value: unknown, paths: readonly (readonly string[])[]): number | null {
  let largest: number | null = null
  for (const path of paths) {
    if ((valueAt(value, ...path) ?? null) === null) continue
    const cap = capAt(value, ...path)
    if (cap === null) return null
    largest = Math.max(largest ?? 0, cap)
  }
  return largest
}

export const NO_READING: Reading = Object.freeze({
  usage: Object.freeze({ ...NO_USAGE, requests: 1 }),
  model: null,
  service_tier: null,
  speed: null,
  inference_geo: null,
  reported_cost_nanos: null,
  is_consistent: true,
  beside: [],
})

/** For answers whose usage comes once or as a running total: the last one said wins. */
export function createMeter(
  read: (value: JsonObject) => Reading | null,
  job: (value: JsonObject) => ReturnType<Meter['job']> = () => null,
  isLast: (value: JsonObject) => boolean = () => true,
): Meter {
  let is_final = false
  let latest: Reading | null = null
  let latest_job: ReturnType<Meter['job']> = null
  return {
    take(value) {
      const said = read(value)
      latest = said ?? latest
      is_final ||= said !== null && isLast(value)
      latest_job = job(value) ?? latest_job
    },
    reading: () => latest,
    isFinal: () => is_final,
    job: () => latest_job,
  }
}

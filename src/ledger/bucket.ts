import type { Nanos } from '../money.ts'
import type { Usage } from '../usage.ts'

/**
 * The coordinates of a provider's report row. A missing field was not reported (the report cannot
 * break it out); `''` was reported as none: a keyless request, a cost that belongs to no model.
 * Values are the provider's own ids, never names. A workspace is what the provider calls one, or a
 * project.
 */
export type Dimensions = {
  readonly model?: string
  readonly api_key?: string
  readonly workspace?: string
  readonly user?: string
  /** `standard`, `batch`, `flex`, `priority`, …: the same word in usage and cost rows. */
  readonly service_tier?: string
  readonly context_window?: string
  readonly inference_geo?: string
  readonly speed?: string
  /** Cost rows: what was billed. */
  readonly component?: CostComponent
  /** Cost rows, where finer than `component`: the provider's own text, e.g. a line item. */
  readonly line_item?: string
  /** Whatever else tells two rows of one report apart. */
  readonly other?: string
}

/** A token class of `Usage`, a unit of it, or something that usage does not show. */
export type CostComponent =
  | 'uncached_input_tokens'
  | 'cache_read_tokens'
  | 'cache_write_5m_tokens'
  | 'cache_write_1h_tokens'
  | 'input_audio_tokens'
  | 'input_image_tokens'
  | 'output_tokens'
  | 'output_audio_tokens'
  | 'output_image_tokens'
  | 'web_search'
  | 'file_search'
  | 'image'
  | 'character'
  | 'second'
  | 'byte'
  | 'session'
  | 'code_execution'
  | 'all' // tokens and units in one amount
  | 'other'
  | 'byok_inference' // billed by another vendor: shown, never part of a total

/** Usage of one half-open interval `[start, start + width)`, UTC. */
export type UsageBucket = {
  readonly bucket_start: number
  readonly dims: Dimensions
  readonly usage: Usage
  /** The row as received, kept only when it has fields or values that we do not know. */
  readonly raw_json?: string
}

/** Cost as the provider reported it, in the same coordinates. */
export type CostBucket = {
  readonly bucket_start: number
  readonly dims: Dimensions
  /** In the row's own currency, 10⁻⁹ units. */
  readonly amount_nanos: Nanos
  /** At list price, where the provider says so. */
  readonly list_nanos: Nanos | null
  /** ISO code, lower case. Anything but `usd` stays out of totals. */
  readonly currency: string
  /** The amount's own text, as received. */
  readonly raw_amount: string
  readonly raw_json?: string
}

/** What a coding assistant's report says of one person's day: a third view of the same money, never added. */
export type AssistantDay = {
  readonly bucket_start: number
  readonly user: string
  readonly client: string
  readonly billing_mode: 'api' | 'subscription'
  readonly terminal: string
  readonly is_remote: boolean
  readonly model: string
  readonly uncached_input_tokens: number
  readonly cache_read_tokens: number
  readonly cache_write_tokens: number
  readonly output_tokens: number
  readonly estimated_nanos: Nanos
}

/** What the provider calls one of its keys, people, or workspaces (projects). */
export type DirectoryEntry = {
  readonly kind: 'workspace' | 'api_key' | 'user'
  readonly id: string
  readonly name: string
  /** Key: its workspace. */
  readonly parent_id?: string
  readonly status?: string
  /** The container that reports show as none. */
  readonly is_default?: boolean
}

/** Everything a provider's report says of one range, read to its end. */
export type ReportWindow = {
  readonly stream_id: number
  readonly provider: string
  readonly grouping: string
  readonly range: { readonly start: number; readonly end: number }
  readonly bucket_ms: number
  readonly usage: readonly UsageBucket[]
  readonly cost: readonly CostBucket[]
  readonly assistant: readonly AssistantDay[]
  /** Buckets with rows that could not be read (null: unknown which): nothing is removed from them. */
  readonly malformed: readonly { readonly bucket_start: number | null; readonly reason: string }[]
  readonly observed_at: number
}

import type { UsageEvent } from './event.ts'

/** What a metric measures. Tokens and counts are whole; `cost_nanos` is nano-dollars. */
export type Measure =
  | TokenMeasure
  | 'cost_nanos'
  | 'lines_added'
  | 'lines_removed'
  | 'commits'
  | 'pull_requests'

/** Tokens by the client's own counting; `formula` says what is inside what. */
export type TokenMeasure =
  | 'input'
  | 'cache_read'
  | 'cache_write'
  | 'other_input'
  | 'output'
  | 'reasoning'

/** Whether `input` has the cached tokens in it, and `output` the reasoning. */
export type Formula = {
  readonly input_includes_cache: boolean
  readonly output_includes_reasoning: boolean
}

/** One point of a metric that tells of usage: only accepted ones, with a value ≥ 0. */
export type MetricSample = Pick<
  UsageEvent,
  'provider' | 'model' | 'session_id' | 'user' | 'project' | 'billing_mode' | 'tags'
> & {
  /** All that tells this series from another, of the source's own words. */
  readonly series: string
  readonly client: string
  readonly origin: string
  /** A client may tell the same amounts in several ways: they are compared, never added. */
  readonly telling: string
  readonly measure: Measure
  readonly formula: Formula
  readonly is_cumulative: boolean
  /** Whether a first value of unknown start is the amount, not just where counting began. */
  readonly counts_from_zero: boolean
  readonly start_ns: bigint
  readonly time_ns: bigint
  readonly at: number
  readonly value: bigint
}

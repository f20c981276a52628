import type { Generated } from 'kysely'
import type { NanosColumn } from './money-column.ts'

/** What telemetry tells besides entries, and the projections of entries: a part of the `Database`. */
export type TelemetryTables = {
  telling: TellingTable
  rollup_entry: RollupEntryTable
  rollup_session: RollupSessionTable
  rollup_session_quarter: EntrySums & { cell_id: number; quarter: number }
  metric_series: MetricSeriesTable
  metric_point: MetricPointTable
  fallback_entry: FallbackEntryTable
}

type TellingTable = {
  client: string
  scope: string
  precedence: number
  is_identified: number
  entries: number
}

type EntrySums = {
  entries: number
  requests: number
  uncounted_rows: number
  input_tokens: number
  cached_input_tokens: number
  cache_write_tokens: number
  output_tokens: number
  metered_nanos: NanosColumn
  unpriced_requests: number
}

/** A quarter is the number of quarters of an hour since 1970. `''` is none. */
type RollupEntryTable = EntrySums & {
  quarter: number
  provider: string
  model: string
  client: string
  source: string
  billing_mode: string
}

type RollupSessionTable = Omit<RollupEntryTable, 'quarter'> & {
  id: Generated<number>
  session_id: string
  user: string
  project: string
  wrapped_key: string
  workspace: string
  tags: string
  first_quarter: number
  last_quarter: number
}

type MetricSeriesTable = {
  id: Generated<number>
  /** All that tells one series from another. */
  hash: string
  client: string
  provider: string
  model: string
  session_id: string | null
  origin: string
  user: string | null
  project: string | null
  billing_mode: 'api' | 'subscription'
  tags: string
  /** Ways to tell the same amounts: they are compared, never added. */
  telling: string
  measure: string
  formula: string
  is_cumulative: number
  counts_from_zero: number
  group_key: string
}

/** Nanoseconds exceed what a number holds: they are read as text. */
type MetricPointTable = {
  series_id: number
  start_ns: NanosColumn
  /** 0 in a cumulative series. */
  time_ns: NanosColumn
  /** Tokens, counts, or nano-dollars. */
  value: NanosColumn
  value_min: NanosColumn
  last_at: number
  received_at: number
}

type FallbackEntryTable = {
  id: string
  client: string
  provider: string
  model: string
  session_id: string | null
  origin: string
  user: string | null
  project: string | null
  billing_mode: 'api' | 'subscription'
  tags: string
  started_at: number
  occurred_at: number
  counts_from: number
  uncached_input_tokens: number
  cache_read_tokens: number
  cache_write_5m_tokens: number
  output_tokens: number
  reasoning_tokens: number
  cost_nanos: NanosColumn<null>
  price_rule: string | null
  unpriced_reason: string | null
  reported_cost_nanos: NanosColumn<null>
}

import type { Generated, Kysely } from 'kysely'
import type { TokenClass } from '../usage.ts'
import type { BudgetTables } from './budget-tables.ts'
import type { LocalTables } from './local-tables.ts'
import type { NanosColumn } from './money-column.ts'
import type { ProxyTables } from './proxy-tables.ts'
import type { TelemetryTables } from './telemetry-tables.ts'

/**
 * One interface a table. Instants are epoch milliseconds; money is nano-dollars, written as bigint
 * and never selected bare: read it as text through `nanos()` and `sumNanos()`.
 */
export type Database = {
  migration: { name: string; applied_at: number }
  connection: ConnectionTable
  sync_stream: SyncStreamTable
  series: SeriesTable
  usage_bucket: UsageBucketTable
  cost_bucket: CostBucketTable
  assistant_day: AssistantDayTable
  bucket_revision: BucketRevisionTable
  suspect_bucket: { stream_id: number; bucket_start: number; first_seen_empty_at: number }
  quarantined_row: QuarantinedRowTable
  directory_entry: DirectoryEntryTable
  rollup_day: RollupDayTable
  rollup_model_day: Omit<RollupDayTable, 'api_key' | 'workspace' | 'user'>
  stale_day: { connection_id: string; day: number }
  ledger_entry: LedgerEntryTable
  receiver: ReceiverTable
  connect_page: ConnectPageTable
  access_token: AccessTokenTable
  audit: AuditTable
  lease: LeaseTable
} & TelemetryTables &
  LocalTables &
  ProxyTables &
  BudgetTables

export type Db = Kysely<Database>

type UsageColumns = Record<TokenClass, number> & {
  reasoning_tokens: number
  requests: number | null
  unit: string | null
  units: number
  cost_nanos: NanosColumn<null>
  price_rule: string | null
}

export type ConnectionTable = {
  id: string
  provider: string
  name: string
  origin: 'stored' | 'environment'
  base_url: string | null
  sealed_key: string | null
  fingerprint: string
  /** Tells whether a key changed; the fingerprint shows too little of it for that. */
  key_hash: string | null
  organization_id: string | null
  organization_name: string | null
  created_at: number
  updated_at: number
  removed_at: number | null
  paused_until: number | null
  clock_skew_ms: number | null
  duplicate_of: string | null
}

export type StreamStatus = 'waiting' | 'ok' | 'failed' | 'auth_failed' | 'paused'

export type SyncStreamTable = {
  id: Generated<number>
  connection_id: string
  stream: string
  view: 'cost' | 'usage' | 'both' | 'assistant' | 'directory'
  settle_ms: number
  /** End of the newest bucket that had ended when it was read. */
  watermark: number | null
  /** Start of the oldest bucket read without a gap up to the watermark. */
  covered_from: number | null
  /** Where the backfill is to end; reached when `covered_from` is not after it. */
  backfill_from: number | null
  is_backfilled: Generated<number>
  status: Generated<StreamStatus>
  problem: string | null
  http_status: number | null
  request_id: string | null
  failures: Generated<number>
  started_at: number | null
  succeeded_at: number | null
  deep_read_at: number | null
  next_due_at: Generated<number>
  rows_read: Generated<number>
  unfamiliar_rows: Generated<number>
  refreshed_at: string | null
  grouping: string | null
}

export type SeriesTable = {
  id: Generated<number>
  stream_id: number
  grouping: string
  /** All dimensions as canonical JSON; the columns below repeat those that queries use. */
  dims: string
  model: string | null
  api_key: string | null
  workspace: string | null
  user: string | null
  service_tier: string | null
  context_window: string | null
  inference_geo: string | null
  speed: string | null
  component: string | null
}

type BucketColumns = {
  stream_id: number
  bucket_start: number
  series_id: number
  bucket_ms: number
  raw_json: string | null
  observed_at: number
  revision: Generated<number>
}

export type UsageBucketTable = BucketColumns & UsageColumns

export type CostBucketTable = BucketColumns & {
  amount_nanos: NanosColumn
  list_nanos: NanosColumn<null>
  currency: string
  raw_amount: string
}

export type AssistantDayTable = {
  stream_id: number
  bucket_start: number
  identity: string
  user: string
  client: string
  billing_mode: 'api' | 'subscription'
  model: string
  uncached_input_tokens: number
  cache_read_tokens: number
  cache_write_tokens: number
  output_tokens: number
  estimated_nanos: NanosColumn
  observed_at: number
}

export type BucketRevisionTable = {
  id: Generated<number>
  stream_id: number
  bucket_start: number
  series_id: number
  before_json: string
  after_json: string | null
  observed_at: number
}

export type QuarantinedRowTable = {
  stream_id: number
  bucket_start: number
  reason: string
  count: number
  observed_at: number
}

export type DirectoryEntryTable = {
  connection_id: string
  kind: 'workspace' | 'api_key' | 'user'
  id: string
  name: string
  parent_id: string | null
  status: string | null
  is_default: number
  observed_at: number
}

export type SpendColumns = {
  requests: number
  /** Usage rows of sources that do not count requests. */
  uncounted_rows: number
  input_tokens: number
  cached_input_tokens: number
  cache_write_tokens: number
  output_tokens: number
  /** What the provider reported. */
  billed_nanos: NanosColumn
  /** The part of `billed_nanos` whose key, user or model was worked out from usage shares. */
  allocated_nanos: NanosColumn
  /** Usage at catalog prices. */
  metered_nanos: NanosColumn
  unpriced_requests: number
  byok_nanos: NanosColumn
  other_currency_rows: number
}

export type RollupDayTable = SpendColumns & {
  /** UTC midnight. */
  day: number
  connection_id: string
  model: string
  api_key: string
  workspace: string
  user: string
}

export type LedgerEntryTable = UsageColumns & {
  id: string
  source: 'otlp' | 'local_log' | 'proxy'
  signal: 'logs' | 'spans' | 'metrics' | null
  client: string | null
  provider: string
  model: string
  occurred_at: number
  session_id: string | null
  request_id: string | null
  user: string | null
  project: string | null
  billing_mode: 'api' | 'subscription'
  service_tier: string | null
  speed: string | null
  unpriced_reason: string | null
  reported_cost_nanos: NanosColumn<null>
  tags: string
  quality: 'exact' | 'estimated' | 'missing' | null
  recorded_at: number
  /** The entry of the same request that this one says more than. */
  replaces: string | null
  inference_geo: string | null
  /** Rank of the source: of the entries that saw one request the highest counts. */
  precedence: number
  response_id: string | null
  origin: string | null
  list_nanos: NanosColumn<null>
  superseded_by: string | null
  wrapped_key: string | null
  workspace: string | null
  /** What it was charged with is said by a hold. */
  is_held: Generated<number>
}

export type ReceiverTable = {
  signal: string
  client: string
  accepted: Generated<number>
  duplicates: Generated<number>
  ignored: Generated<number>
  rejected: Generated<number>
  skewed: Generated<number>
  last_received_at: number
}

export type ConnectPageTable = {
  nonce_hash: string
  provider: string
  kind: Generated<'admin' | 'inference'>
  name: string
  created_at: number
  expires_at: number
  used_at: number | null
  tries: Generated<number>
}

export type AccessTokenTable = {
  id: string
  name: string
  secret_hash: string
  scopes: string
  created_at: number
  expires_at: number | null
  last_used_at: number | null
  revoked_at: number | null
}

export type AuditTable = {
  id: Generated<number>
  at: number
  actor: string
  action: string
  subject: string
  detail: string
  previous_hash: string
  hash: string
}

export type LeaseTable = {
  name: string
  owner: string
  pid: number
  hostname: string
  detail: string
  expires_at: number
}

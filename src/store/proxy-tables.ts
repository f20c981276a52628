import type { NanosColumn } from './money-column.ts'

/** Jobs whose usage is told after their answer: a part of the `Database`. */
export type ProxyTables = { pending_usage: PendingUsageTable; batch_file: BatchFileTable }

export type PendingUsageTable = {
  provider: string
  job_id: string
  api: string
  wrapped_key: string
  hold_id: string | null
  /** The event as it stands, without its usage. */
  event: string
  path: string
  next_poll_at: number
  deadline_at: number
}

/** What an uploaded file of requests can cost at most. */
type BatchFileTable = {
  provider: string
  file_id: string
  model: string
  bound_nanos: NanosColumn
  input_tokens: number
  output_tokens: number
  price_rules: string
  created_at: number
}

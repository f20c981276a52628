/** Jobs whose usage is told after their answer: a part of the `Database`. */
export type ProxyTables = { pending_usage: PendingUsageTable }

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

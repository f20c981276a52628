/** Local session logs: a part of the `Database`; see migrations/0003-local.ts. */
export type LocalTables = {
  local_file: LocalFileTable
  local_client: LocalClientTable
}

type LocalFileTable = {
  path_hash: string
  client: string
  size: number
  mtime_ms: number
  read_to: number
  fingerprint: string
  session_id: string | null
  parent_session_id: string | null
  /** What the rest of the file needs to be understood, as JSON without content. */
  state: string
  read_at: number
}

type LocalClientTable = {
  client: string
  followed_since: number
  /** In real time, since it says when to look again. */
  looked_at: number
}

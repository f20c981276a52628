import type { LogFile } from './client.ts'

/** A row of `message`: the JSON of a message without the columns that stand beside it. */
type MessageRow = {
  readonly session_id: string
  readonly time_updated: number
  readonly data: string
}

/**
 * Messages that changed since an instant, oldest first. The database is another program's: it is
 * opened for reading, and what is there while it is read is read.
 * https://github.com/sst/opencode/blob/dev/packages/opencode/src/session/session.sql.ts
 */
export async function* listMessages(
  { path }: Pick<LogFile, 'path'>,
  since: number,
): AsyncGenerator<{ readonly message: string; readonly session_id: string; readonly at: number }> {
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS })
  try {
    const page = database.prepare(PAGE)
    let [at, id] = [since, '']
    for (;;) {
      const rows = page.all(at, at, id, PAGE_MAX) as unknown as (MessageRow & { id: string })[]
      for (const row of rows) {
        yield { message: row.data, session_id: row.session_id, at: row.time_updated }
        ;[at, id] = [row.time_updated, row.id]
      }
      if (rows.length < PAGE_MAX) return
    }
  } finally {
    database.close()
  }
}

const BUSY_TIMEOUT_MS = 2_000
const PAGE_MAX = 500

const PAGE = `
  select id, session_id, time_updated, data from message
  where time_updated > ? or (time_updated = ? and id > ?)
  order by time_updated, id limit ?`

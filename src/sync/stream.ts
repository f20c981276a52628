import { DAY_MS, floorTo } from '../clock.ts'
import type { Report } from '../providers/provider.ts'
import type { Db, StreamStatus } from '../store/schema.ts'

/** How far one report of one connection has been read. */
export type SyncStream = {
  readonly id: number
  readonly connection_id: string
  readonly stream: string
  readonly watermark: number | null
  readonly covered_from: number | null
  readonly backfill_from: number
  readonly deep_read_at: number | null
  readonly next_due_at: number
  readonly status: StreamStatus
  readonly failures: number
}

export const BACKFILL_DAYS = 90

export const DIRECTORY_STREAM = 'directory'
export const DIRECTORY_EVERY_MS = 6 * 60 * 60_000

/** Whether anything of a connection is to be read now; one that was never read has no streams yet. */
export async function hasDueWork(db: Db, connection_id: string, now: number): Promise<boolean> {
  const streams = await db
    .selectFrom('sync_stream')
    .select(['next_due_at', 'started_at', 'status', 'is_backfilled', 'view'])
    .where('connection_id', '=', connection_id)
    .execute()
  return (
    streams.length === 0 ||
    streams.some(
      ({ next_due_at, started_at, status, is_backfilled, view }) =>
        next_due_at <= now ||
        (started_at ?? 0) > now ||
        (status === 'ok' && is_backfilled === 0 && view !== 'directory'),
    )
  )
}

/** Whether a report of the connection was read to its end at that time or later. */
export async function wasReadSince(db: Db, connection_id: string, at: number): Promise<boolean> {
  const row = await db
    .selectFrom('sync_stream')
    .select('id')
    .where('connection_id', '=', connection_id)
    .where('succeeded_at', '>=', at)
    .where('view', '!=', 'directory')
    .executeTakeFirst()
  return row !== undefined
}

/**
 * Makes sure that every report of the connection has its row; moves the backfill's end when asked to.
 * What a clock planned that was ahead and is set back since is due now.
 */
export async function ensureStreams(
  db: Db,
  connection_id: string,
  reports: readonly Report[],
  { now, since }: { now: number; since?: number | undefined },
): Promise<void> {
  const backfill_from = floorTo(since ?? now - BACKFILL_DAYS * DAY_MS, DAY_MS)
  const streams = [
    { stream: DIRECTORY_STREAM, view: 'directory' as const, settle_ms: 0 },
    ...reports.map((report) => ({
      stream: report.name,
      view: report.view,
      settle_ms: report.settle_ms,
    })),
  ]
  await db
    .insertInto('sync_stream')
    .values(streams.map((one) => ({ ...one, connection_id, backfill_from })))
    .onConflict((conflict) =>
      conflict.columns(['connection_id', 'stream']).doUpdateSet((eb) => ({
        settle_ms: eb.ref('excluded.settle_ms'),
        backfill_from:
          since === undefined
            ? eb.ref('sync_stream.backfill_from')
            : eb.fn('min', [eb.ref('sync_stream.backfill_from'), eb.ref('excluded.backfill_from')]),
        ...(since === undefined ? {} : { is_backfilled: 0 }),
      })),
    )
    .execute()
  await db
    .updateTable('sync_stream')
    .set({ next_due_at: now, started_at: null })
    .where('connection_id', '=', connection_id)
    .where('started_at', '>', now)
    .execute()
}

export async function listStreams(db: Db, connection_id: string): Promise<SyncStream[]> {
  const rows = await db
    .selectFrom('sync_stream')
    .select([
      'id',
      'connection_id',
      'stream',
      'watermark',
      'covered_from',
      'backfill_from',
      'deep_read_at',
      'next_due_at',
      'status',
      'failures',
    ])
    .where('connection_id', '=', connection_id)
    .orderBy('id')
    .execute()
  return rows.map((row) => ({ ...row, backfill_from: row.backfill_from ?? 0 }))
}

export async function getStream(db: Db, id: number): Promise<SyncStream> {
  const row = await db
    .selectFrom('sync_stream')
    .select('connection_id')
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  const stream = (await listStreams(db, row.connection_id)).find((one) => one.id === id)
  if (!stream) throw new Error(`no sync stream ${id}`)
  return stream
}

/** Records that a run of the stream ended well. */
export async function markOk(
  db: Db,
  id: number,
  at: number,
  next_due_at: number,
  is_deep = false,
): Promise<void> {
  await db
    .updateTable('sync_stream')
    .set({
      status: 'ok',
      problem: null,
      http_status: null,
      failures: 0,
      succeeded_at: at,
      next_due_at,
      ...(is_deep ? { deep_read_at: at } : {}),
    })
    .where('id', '=', id)
    .execute()
}

/** Records that nothing older is left to read. */
export async function markBackfilled(db: Db, id: number): Promise<void> {
  await db.updateTable('sync_stream').set({ is_backfilled: 1 }).where('id', '=', id).execute()
}

/** Records that the provider has no report of anything older. */
export async function endBackfill(db: Db, id: number): Promise<void> {
  await db
    .updateTable('sync_stream')
    .set((eb) => ({ is_backfilled: 1, backfill_from: eb.ref('covered_from') }))
    .where('id', '=', id)
    .execute()
}

export type Problem = {
  readonly status: StreamStatus
  readonly problem: string
  readonly http_status: number | null
  readonly request_id: string | null
  readonly next_due_at: number
}

/** Records that a run failed; what was read before stays as it is. */
export async function markFailed(db: Db, id: number, problem: Problem): Promise<void> {
  await db
    .updateTable('sync_stream')
    .set((eb) => ({
      status: problem.status,
      problem: problem.problem,
      http_status: problem.http_status,
      request_id: problem.request_id,
      next_due_at: problem.next_due_at,
      failures: eb('failures', '+', 1),
    }))
    .where('id', '=', id)
    .execute()
}

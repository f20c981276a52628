import { sql } from 'kysely'
import { HOUR_MS } from '../clock.ts'
import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { ReportWindow } from './bucket.ts'

/** Begins the reason of a row whose bucket is not known; it stands at the start of its window. */
const UNPLACED = 'somewhere from here on: '

/** Writes down the rows that could not be read, in place of what the range had before. */
export async function recordMalformed(trx: Db, window: ReportWindow): Promise<void> {
  const { stream_id, range, observed_at } = window
  await trx
    .deleteFrom('quarantined_row')
    .where('stream_id', '=', stream_id)
    .where('bucket_start', '>=', range.start)
    .where('bucket_start', '<', range.end)
    .execute()
  await insertRows(
    trx,
    'quarantined_row',
    ['stream_id', 'bucket_start', 'reason', 'count', 'observed_at'],
    window.malformed.map((row) => [
      stream_id,
      row.bucket_start ?? range.start,
      row.bucket_start === null ? `${UNPLACED}${row.reason}` : row.reason,
      1,
      observed_at,
    ]),
    sql`on conflict (stream_id, bucket_start, reason) do update set count = count + 1`,
  )
}

/** A bucket whose stored rows are in doubt; `is_unplaced`: it may be any of the window after it. */
export type DoubtedBucket = { readonly bucket_start: number; readonly is_unplaced: boolean }

/**
 * Buckets of a stream to be read again whatever their age: those with rows that could not be read, and
 * those that came back empty. Asked too soon, an empty one could not be confirmed; `is_forced` asks for
 * unreadable ones at once.
 */
export async function listDoubtedBuckets(
  db: Db,
  stream_id: number,
  { now, is_forced }: { now: number; is_forced: boolean },
): Promise<DoubtedBucket[]> {
  const unreadable = await db
    .selectFrom('quarantined_row')
    .select(['bucket_start', 'reason'])
    .where('stream_id', '=', stream_id)
    .where('observed_at', '<=', is_forced ? now : now - HOUR_MS)
    .execute()
  const empty = await db
    .selectFrom('suspect_bucket')
    .select('bucket_start')
    .where('stream_id', '=', stream_id)
    .where('first_seen_empty_at', '<=', now - HOUR_MS)
    .execute()
  return [
    ...unreadable.map(({ bucket_start, reason }) => {
      return { bucket_start, is_unplaced: reason.startsWith(UNPLACED) }
    }),
    ...empty.map(({ bucket_start }) => ({ bucket_start, is_unplaced: false })),
  ]
}

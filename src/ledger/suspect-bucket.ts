import { HOUR_MS } from '../clock.ts'
import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { ReportWindow } from './bucket.ts'

/** An emptied bucket is believed when a second read, at least this much later, says the same. */
const EMPTY_CONFIRM_MS = HOUR_MS

/**
 * Which buckets must not lose rows by this window: those with unreadable rows, and those that came
 * back empty for the first time although they had rows.
 */
export async function keptBuckets(trx: Db, window: ReportWindow): Promise<(at: number) => boolean> {
  const { stream_id, range, observed_at } = window
  const unreadable = new Set(window.malformed.map(({ bucket_start }) => bucket_start))
  const filled = new Set(
    [...window.usage, ...window.cost, ...window.assistant].map((row) => row.bucket_start),
  )
  const suspects = await listSuspects(trx, window)
  const held = await listHeldBuckets(trx, window)
  const doubted = held.filter(
    (at) => !filled.has(at) && !isConfirmed(suspects.get(at), observed_at),
  )
  await trx
    .deleteFrom('suspect_bucket')
    .where('stream_id', '=', stream_id)
    .where('bucket_start', '>=', range.start)
    .where('bucket_start', '<', range.end)
    .execute()
  await insertRows(
    trx,
    'suspect_bucket',
    ['stream_id', 'bucket_start', 'first_seen_empty_at'],
    doubted.map((at) => [stream_id, at, suspects.get(at) ?? observed_at]),
  )
  const kept = new Set(doubted)
  return (at) => kept.has(at) || unreadable.has(at) || unreadable.has(null)
}

function isConfirmed(first_seen_empty_at: number | undefined, observed_at: number): boolean {
  return first_seen_empty_at !== undefined && observed_at - first_seen_empty_at >= EMPTY_CONFIRM_MS
}

async function listSuspects(trx: Db, { stream_id, range }: ReportWindow) {
  const rows = await trx
    .selectFrom('suspect_bucket')
    .select(['bucket_start', 'first_seen_empty_at'])
    .where('stream_id', '=', stream_id)
    .where('bucket_start', '>=', range.start)
    .where('bucket_start', '<', range.end)
    .execute()
  return new Map(rows.map((row) => [row.bucket_start, row.first_seen_empty_at]))
}

async function listHeldBuckets(trx: Db, { stream_id, range }: ReportWindow): Promise<number[]> {
  const tables = (['usage_bucket', 'cost_bucket', 'assistant_day'] as const).map((table) =>
    trx
      .selectFrom(table)
      .select('bucket_start')
      .distinct()
      .where('stream_id', '=', stream_id)
      .where('bucket_start', '>=', range.start)
      .where('bucket_start', '<', range.end)
      .execute(),
  )
  return [...new Set((await Promise.all(tables)).flat().map((row) => row.bucket_start))]
}

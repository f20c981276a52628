import { sql } from 'kysely'
import { DAY_MS, floorTo } from '../clock.ts'
import type { Db } from '../store/schema.ts'
import { rebuildDays } from './rollup.ts'

/**
 * Notes that buckets of these instants changed, in the transaction that changes them. A dozen reports
 * write a day, each in windows of its own; its rollup is made once, when it is next wanted.
 */
export async function markStale(
  trx: Db,
  stream_id: number,
  instants: Iterable<number>,
): Promise<void> {
  const days = new Set<number>()
  for (const at of instants) days.add(floorTo(at, DAY_MS))
  await sql`
    insert into stale_day (connection_id, day)
    select connection_id, value from sync_stream, json_each(${JSON.stringify([...days])})
    where sync_stream.id = ${stream_id} on conflict do nothing`.execute(trx)
}

/** Brings every rollup up to its buckets: a look at an empty table where nothing changed. */
export async function refreshStaleDays(db: Db): Promise<void> {
  while (await hasStale(db))
    await (db.isTransaction ? refreshSome(db) : db.transaction().execute(refreshSome))
}

async function hasStale(db: Db): Promise<boolean> {
  return (await db.selectFrom('stale_day').select('day').limit(1).executeTakeFirst()) !== undefined
}

/** Enough that statements are full, few enough that a month of a large organisation is never in memory. */
const DAYS_AT_ONCE = 7

async function refreshSome(trx: Db): Promise<void> {
  const stale = await trx
    .selectFrom('stale_day')
    .selectAll()
    .orderBy('connection_id')
    .orderBy('day', 'desc')
    .limit(DAYS_AT_ONCE)
    .execute()
  const connection_id = stale[0]?.connection_id
  if (connection_id === undefined) return
  const days = stale.flatMap((one) => (one.connection_id === connection_id ? [one.day] : []))
  await rebuildDays(trx, connection_id, days)
  await trx
    .deleteFrom('stale_day')
    .where('connection_id', '=', connection_id)
    .where('day', 'in', days)
    .execute()
}

import { setImmediate } from 'node:timers/promises'
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

/** Which days are wanted; all without it. */
type Wanted = { readonly start: number; readonly end: number }

/** Brings rollups up to their buckets: a look at an empty table where nothing changed. */
export async function refreshStaleDays(db: Db, wanted?: Wanted): Promise<void> {
  if (db.isTransaction) while (await refreshSome(db, wanted));
  else
    while (await hasStale(db, wanted)) {
      await db.transaction().execute((trx) => refreshSome(trx, wanted))
      // A large organisation's days take seconds, and others have questions.
      await setImmediate()
    }
}

async function hasStale(db: Db, wanted: Wanted | undefined): Promise<boolean> {
  return (await listStale(db, wanted, 1)).length > 0
}

async function listStale(db: Db, wanted: Wanted | undefined, limit: number) {
  return db
    .selectFrom('stale_day')
    .selectAll()
    .$if(wanted !== undefined, (query) =>
      query
        .where('day', '>=', floorTo(wanted?.start ?? 0, DAY_MS))
        .where('day', '<', wanted?.end ?? 0),
    )
    .orderBy('connection_id')
    .orderBy('day', 'desc')
    .limit(limit)
    .execute()
}

/** Enough that statements are full, few enough that a month of a large organisation is never in memory. */
const DAYS_AT_ONCE = 7

async function refreshSome(trx: Db, wanted: Wanted | undefined): Promise<boolean> {
  const stale = await listStale(trx, wanted, DAYS_AT_ONCE)
  const connection_id = stale[0]?.connection_id
  if (connection_id === undefined) return false
  const days = stale.flatMap((one) => (one.connection_id === connection_id ? [one.day] : []))
  await rebuildDays(trx, connection_id, days)
  await trx
    .deleteFrom('stale_day')
    .where('connection_id', '=', connection_id)
    .where('day', 'in', days)
    .execute()
  return true
}

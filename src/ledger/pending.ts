import { setImmediate as nextTurn } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Db } from '../store/schema.ts'
import { decideCounting, PRECEDENCE, type Seen } from './counting.ts'
import { addToRollups, listCountables } from './entry-rollup.ts'
import { refreshStaleDays } from './stale-day.ts'

/** In one transaction, for which everything else in this process waits. */
const ENTRIES_MAX = 500

/**
 * Settles what writers could not wait for: days whose buckets changed, and entries without a
 * precedence. A look at two empty places where there is nothing, so that every reader can ask first.
 */
export async function settlePending(
  db: Db,
  wanted?: { readonly start: number; readonly end: number },
): Promise<void> {
  await refreshStaleDays(db, wanted)
  await settleEntries(db)
}

/** Of the two only the entries, which are there again each second while requests are forwarded. */
export async function settleEntries(db: Db): Promise<void> {
  while (await hasPending(db)) {
    if (db.isTransaction) await settleSome(db)
    else {
      await db.transaction().execute(settleSome)
      await nextTurn()
    }
  }
}

export async function hasPending(db: Db): Promise<boolean> {
  const { rows } = await sql`select 1 from ledger_entry where precedence = 0 limit 1`.execute(db)
  return rows.length > 0
}

async function settleSome(trx: Db): Promise<void> {
  const { rows } = await sql<Seen>`
    select id, source, client, occurred_at, session_id, request_id, response_id, origin, user
    from ledger_entry where precedence = 0 limit ${ENTRIES_MAX}`.execute(trx)
  if (rows.length === 0) return
  const ids = rows.map(({ id }) => id)
  const ranks = sql.join(
    (['proxy', 'otlp', 'local_log'] as const).map(
      (source) => sql`when ${source} then ${sql.lit(PRECEDENCE[source])}`,
    ),
    sql` `,
  )
  await sql`
    update ledger_entry set precedence = case source ${ranks} end
    where id in (select value from json_each(${JSON.stringify(ids)}))`.execute(trx)
  const { superseded, displaced } = await decideCounting(trx, rows)
  const counted = ids.filter((id) => !superseded.has(id))
  await addToRollups(trx, await listCountables(trx, counted), 1n)
  await addToRollups(trx, await listCountables(trx, displaced), -1n)
}

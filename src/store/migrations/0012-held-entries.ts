import { type Kysely, sql } from 'kysely'

/**
 * Whether a hold says what an entry was charged with, that of a request's main entry or of one that is
 * billed beside it (`<entry id>.<n>`): asked of each pair of them, budgets took long to be counted anew.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table ledger_entry add column is_held integer not null default 0`.execute(db)
  const held = sql`(select entry_id from hold where entry_id is not null)`
  await sql`update ledger_entry set is_held = 1 where source = 'proxy'
    and (id in ${held} or rtrim(rtrim(id, '0123456789'), '.') in ${held})`.execute(db)
}

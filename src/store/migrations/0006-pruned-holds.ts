import { type Kysely, sql } from 'kysely'

/**
 * What old holds charged beyond what their ledger entries say, by minute and subject: with it the holds
 * themselves can go, and budgets are still counted anew to the same sums.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table pruned_charge (
    minute integer not null,
    nanos integer not null,
    provider text not null,
    model text not null,
    wrapped_key text,
    workspace text,
    user text,
    session_id text,
    tags text not null
  ) strict`.execute(db)
  await sql`create index pruned_charge_minute on pruned_charge (minute)`.execute(db)
}

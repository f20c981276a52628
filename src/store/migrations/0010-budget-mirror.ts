import { type Kysely, sql } from 'kysely'

/** A provider's own limit that a budget is mirrored into: what was set there, and what was seen since. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table budget_mirror (
    budget_id text primary key references budget (id),
    connection_id text not null,
    workspace text,
    set_cents integer not null,
    seen_cents integer,
    seen_at integer not null
  ) strict, without rowid`.execute(db)
}

import { type Kysely, sql } from 'kysely'

/** A page takes a key that reads costs, or one that requests are sent on with. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table connect_page add column kind text not null default 'admin'
    check (kind in ('admin', 'inference'))`.execute(db)
}

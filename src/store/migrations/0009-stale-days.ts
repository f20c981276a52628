import { type Kysely, sql } from 'kysely'

/** Days whose buckets changed after their rollups were made. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table stale_day (
    connection_id text not null references connection (id) on delete cascade,
    day integer not null,
    primary key (connection_id, day)
  ) strict, without rowid`.execute(db)
}

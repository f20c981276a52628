import { type Kysely, sql } from 'kysely'

/** What the requests in an uploaded batch file can cost at most, found when it passed the proxy. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table batch_file (
    provider text not null,
    file_id text not null,
    model text not null,
    bound_nanos integer not null check (bound_nanos >= 0),
    input_tokens integer not null,
    output_tokens integer not null,
    price_rules text not null,
    created_at integer not null,
    primary key (provider, file_id)
  ) strict, without rowid`.execute(db)
}

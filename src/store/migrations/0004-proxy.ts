import { type Kysely, sql } from 'kysely'

/** How sure an entry's counts are, and the jobs whose usage is told after their answer. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table ledger_entry add column quality text
    check (quality in ('exact', 'estimated', 'missing'))`.execute(db)
  await sql`create table pending_usage (
    provider text not null,
    job_id text not null,
    api text not null,
    wrapped_key text not null,
    hold_id text,
    event text not null,
    path text not null,
    next_poll_at integer not null,
    deadline_at integer not null,
    primary key (provider, job_id)
  ) strict, without rowid`.execute(db)
  await sql`create index pending_usage_due on pending_usage (next_poll_at)`.execute(db)
}

import { type Kysely, sql } from 'kysely'

/** Local session logs: how far each file was read, and entries that say more than an earlier one. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // A path can name people and projects, so only its hash is kept.
  `create table local_file (
    path_hash text primary key,
    client text not null,
    size integer not null check (size >= 0),
    mtime_ms integer not null,
    read_to integer not null check (read_to >= 0 and read_to <= size),
    fingerprint text not null,
    session_id text,
    parent_session_id text,
    state text not null default '{}',
    read_at integer not null
  ) strict, without rowid`,
  `create index local_file_session on local_file (client, session_id) where session_id is not null`,

  // A client whose folders are followed: from the first import that a person asked for.
  `create table local_client (
    client text primary key,
    followed_since integer not null,
    looked_at integer not null
  ) strict, without rowid`,

  `alter table ledger_entry add column replaces text`,
  `create unique index ledger_entry_replaces on ledger_entry (replaces) where replaces is not null`,
  `alter table ledger_entry add column inference_geo text`,
]

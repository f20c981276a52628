import { type Kysely, sql } from 'kysely'

/** Wrapped keys, the provider keys behind them, and budgets that hold before they spend. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

/** Whom a proxied request is charged to; the same columns wherever scopes are matched. */
const SUBJECT_COLUMNS = `
  provider text not null,
  model text not null,
  wrapped_key text,
  workspace text,
  user text,
  session_id text,
  tags text not null default '{}'`

const STATEMENTS = [
  `alter table ledger_entry add column wrapped_key text`,
  `alter table ledger_entry add column workspace text`,

  // Counts the writes that a process must not overlook: its caches hold one number of each name.
  `create table revision (
    name text primary key,
    value integer not null
  ) strict`,
  `insert into revision (name, value) values ('budgets', 0), ('keys', 0)`,

  `create table upstream_key (
    id text primary key,
    provider text not null,
    name text not null,
    is_compat integer not null,
    base_url text,
    workspace text,
    sealed_key text,
    fingerprint text not null,
    key_hash text,
    created_at integer not null,
    updated_at integer not null,
    removed_at integer,
    check ((sealed_key is null) = (removed_at is not null)),
    check (is_compat = 0 or base_url is not null)
  ) strict`,
  `create unique index upstream_key_name on upstream_key (provider, name) where removed_at is null`,

  `create table wrapped_key (
    id text primary key,
    name text not null,
    secret_hash text not null unique,
    former_hash text unique,
    former_until integer,
    providers text not null,
    models text not null default '[]',
    addresses text not null default '[]',
    tags text not null default '{}',
    user text,
    workspace text,
    on_limit text not null default 'refuse' check (on_limit in ('refuse', 'clamp')),
    on_abort text not null default 'stop' check (on_abort in ('stop', 'drain')),
    requests_per_minute integer check (requests_per_minute > 0),
    tokens_per_minute integer check (tokens_per_minute > 0),
    concurrent_requests integer check (concurrent_requests > 0),
    created_at integer not null,
    updated_at integer not null,
    expires_at integer,
    paused_at integer,
    revoked_at integer,
    last_used_at integer
  ) strict`,
  `create unique index wrapped_key_name on wrapped_key (name) where revoked_at is null`,

  // A new secret waits here, sealed, until its one-time page is opened.
  `create table secret_page (
    nonce_hash text primary key,
    title text not null,
    sealed_secret text,
    created_at integer not null,
    expires_at integer not null,
    shown_at integer
  ) strict`,

  `create table plan (
    id text primary key,
    deed text not null,
    created_at integer not null,
    expires_at integer not null,
    used_at integer
  ) strict`,

  `create table budget (
    id text primary key,
    name text not null,
    scope text not null check (scope in
      ('all', 'provider', 'model', 'wrapped_key', 'workspace', 'user', 'tag', 'session')),
    scope_value text not null,
    period text not null,
    zone text not null,
    week_start integer not null check (week_start between 1 and 7),
    limit_nanos integer not null check (limit_nanos >= 0),
    action text not null check (action in ('notify', 'block')),
    thresholds text not null,
    created_at integer not null,
    updated_at integer not null,
    removed_at integer
  ) strict`,
  `create unique index budget_name on budget (name) where removed_at is null`,

  // One row for each request that a blocking budget held. Settled rows are the facts of what was charged.
  `create table hold (
    id integer primary key,
    request_id text not null,
    owner text not null,
    state text not null check (state in ('open', 'settled', 'uncertain', 'released')),
    bound_nanos integer not null check (bound_nanos >= 0),
    charged_nanos integer,
    admitted_at integer not null,
    deadline_at integer not null,
    settled_at integer,
    entry_id text,
    ${SUBJECT_COLUMNS},
    check ((state = 'open') = (settled_at is null)),
    check ((state in ('settled', 'uncertain')) = (charged_nanos is not null))
  ) strict`,
  `create index hold_unsettled on hold (state) where state in ('open', 'uncertain')`,
  `create index hold_time on hold (admitted_at)`,

  // Who holds: without it nobody could tell a slow request from one whose process is gone.
  `create table hold_owner (
    id text primary key,
    pid integer not null,
    hostname text not null,
    started_at integer not null
  ) strict`,

  // A projection of settled holds and of ledger entries; \`rebuildSpent\` makes it again.
  `create table budget_spent (
    budget_id text not null references budget (id),
    member text not null,
    bucket_start integer not null,
    spent_nanos integer not null,
    primary key (budget_id, member, bucket_start)
  ) strict, without rowid`,

  // Each threshold is crossed once in a window.
  `create table budget_crossing (
    budget_id text not null references budget (id),
    member text not null,
    window_start integer not null,
    percent integer not null,
    crossed_at integer not null,
    used_nanos integer not null,
    limit_nanos integer not null,
    primary key (budget_id, member, window_start, percent)
  ) strict, without rowid`,
]

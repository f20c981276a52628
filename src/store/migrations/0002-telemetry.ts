import { type Kysely, sql } from 'kysely'

/** Which source of a request counts, entry rollups, and metrics where nothing better tells of a session. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const SUMS = `
  entries integer not null,
  requests integer not null,
  uncounted_rows integer not null,
  input_tokens integer not null,
  cached_input_tokens integer not null,
  cache_write_tokens integer not null,
  output_tokens integer not null,
  metered_nanos integer not null,
  unpriced_requests integer not null`

const TOKENS = [
  'uncached_input_tokens',
  'cache_read_tokens',
  'cache_write_5m_tokens',
  'output_tokens',
  'reasoning_tokens',
].map((name) => `${name} integer not null check (${name} >= 0)`)

const STATEMENTS = [
  `alter table ledger_entry add column precedence integer not null default 0`,
  `alter table ledger_entry add column response_id text`,
  `alter table ledger_entry add column origin text`,
  `alter table ledger_entry add column list_nanos integer`,
  // A projection: what the rule of counting.ts makes of all that is known.
  `alter table ledger_entry add column superseded_by text`,
  // Entries that are not settled yet: seldom more than a few.
  `create index ledger_entry_pending on ledger_entry (occurred_at) where precedence = 0`,
  `create index ledger_entry_superseded on ledger_entry (occurred_at) where superseded_by is not null`,
  `create index ledger_entry_response on ledger_entry (response_id) where response_id is not null`,

  // A projection: which sources told of a session, or of an hour of an origin.
  `create table telling (
    client text not null,
    scope text not null,
    precedence integer not null,
    is_identified integer not null,
    entries integer not null,
    primary key (client, scope, precedence, is_identified)
  ) strict, without rowid`,

  // Projections of the entries that count.
  `create table rollup_entry (
    quarter integer not null,
    provider text not null,
    model text not null,
    client text not null,
    source text not null,
    billing_mode text not null,
    ${SUMS},
    primary key (quarter, provider, model, client, source, billing_mode)
  ) strict, without rowid`,
  `create table rollup_session (
    id integer primary key,
    session_id text not null,
    client text not null,
    provider text not null,
    model text not null,
    user text not null,
    project text not null,
    wrapped_key text not null,
    workspace text not null,
    source text not null,
    billing_mode text not null,
    tags text not null,
    first_quarter integer not null,
    last_quarter integer not null,
    ${SUMS},
    unique (session_id, client, provider, model, user, project, wrapped_key, workspace, source,
      billing_mode, tags)
  ) strict`,
  `create table rollup_session_quarter (
    cell_id integer not null references rollup_session (id),
    quarter integer not null,
    ${SUMS},
    primary key (cell_id, quarter)
  ) strict, without rowid`,
  // Empty as a rule: they find what is to be removed after a subtraction.
  `create index rollup_entry_empty on rollup_entry (quarter) where entries = 0`,
  `create index rollup_session_empty on rollup_session (id) where entries = 0`,
  `create index rollup_session_quarter_empty on rollup_session_quarter (cell_id) where entries = 0`,

  // The few that seats pay for, and those that an edge of a period cuts.
  `create index rollup_entry_seats on rollup_entry (quarter) where billing_mode = 'subscription'`,
  `create index rollup_session_seats on rollup_session (first_quarter)
    where billing_mode = 'subscription'`,
  // Sessions by cost, each next to itself.
  `create index rollup_session_cost on rollup_session
    (session_id, billing_mode, first_quarter, last_quarter, metered_nanos)`,
  `create index rollup_session_stretch on rollup_session (first_quarter, last_quarter)`,

  // Metrics as they came in: of a cumulative series the highest value of each start.
  `create table metric_series (
    id integer primary key,
    hash text not null unique,
    client text not null,
    provider text not null,
    model text not null,
    session_id text,
    origin text not null,
    user text,
    project text,
    billing_mode text not null check (billing_mode in ('api', 'subscription')),
    tags text not null,
    telling text not null,
    measure text not null,
    formula text not null,
    is_cumulative integer not null,
    counts_from_zero integer not null,
    group_key text not null
  ) strict`,
  `create index metric_series_group on metric_series (group_key)`,
  `create index metric_series_session on metric_series (session_id) where session_id is not null`,
  `create table metric_point (
    series_id integer not null references metric_series (id),
    start_ns integer not null,
    time_ns integer not null,
    value integer not null check (value >= 0),
    value_min integer not null,
    last_at integer not null,
    received_at integer not null,
    primary key (series_id, start_ns, time_ns)
  ) strict, without rowid`,

  // A projection of the metrics: what a session used, for when nothing better tells of it.
  `create table fallback_entry (
    id text primary key,
    client text not null,
    provider text not null,
    model text not null,
    session_id text,
    origin text not null,
    user text,
    project text,
    billing_mode text not null,
    tags text not null,
    started_at integer not null,
    occurred_at integer not null,
    counts_from integer not null,
    ${TOKENS.join(', ')},
    cost_nanos integer,
    price_rule text,
    unpriced_reason text,
    reported_cost_nanos integer
  ) strict, without rowid`,
  `create index fallback_entry_time on fallback_entry (occurred_at)`,
  `create index fallback_entry_session on fallback_entry (session_id) where session_id is not null`,

  `alter table receiver add column skewed integer not null default 0`,
]

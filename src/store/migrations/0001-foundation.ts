import { type Kysely, sql } from 'kysely'

/** The first shape: connections, provider reports as buckets, ledger entries, and their rollups. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const USAGE_COLUMNS = `
  uncached_input_tokens integer not null default 0 check (uncached_input_tokens >= 0),
  cache_read_tokens integer not null default 0 check (cache_read_tokens >= 0),
  cache_write_5m_tokens integer not null default 0 check (cache_write_5m_tokens >= 0),
  cache_write_1h_tokens integer not null default 0 check (cache_write_1h_tokens >= 0),
  input_audio_tokens integer not null default 0 check (input_audio_tokens >= 0),
  input_image_tokens integer not null default 0 check (input_image_tokens >= 0),
  output_tokens integer not null default 0 check (output_tokens >= 0),
  output_audio_tokens integer not null default 0 check (output_audio_tokens >= 0),
  output_image_tokens integer not null default 0 check (output_image_tokens >= 0),
  reasoning_tokens integer not null default 0 check (reasoning_tokens >= 0),
  requests integer check (requests >= 0),
  unit text,
  units integer not null default 0,
  cost_nanos integer,
  price_rule text`

const SPEND_COLUMNS = `
  requests integer not null,
  uncounted_rows integer not null,
  input_tokens integer not null,
  cached_input_tokens integer not null,
  cache_write_tokens integer not null,
  output_tokens integer not null,
  billed_nanos integer not null,
  allocated_nanos integer not null,
  metered_nanos integer not null,
  unpriced_requests integer not null,
  byok_nanos integer not null,
  other_currency_rows integer not null`

const STATEMENTS = [
  `create table connection (
    id text primary key,
    provider text not null,
    name text not null,
    origin text not null check (origin in ('stored', 'environment')),
    base_url text,
    sealed_key text,
    fingerprint text not null,
    key_hash text,
    organization_id text,
    organization_name text,
    created_at integer not null,
    updated_at integer not null,
    removed_at integer,
    paused_until integer,
    clock_skew_ms integer,
    duplicate_of text references connection (id),
    check ((origin = 'stored') = (sealed_key is not null) or removed_at is not null)
  ) strict`,
  `create unique index connection_name on connection (provider, name) where removed_at is null`,

  `create table sync_stream (
    id integer primary key,
    connection_id text not null references connection (id),
    stream text not null,
    view text not null check (view in ('cost', 'usage', 'both', 'assistant', 'directory')),
    settle_ms integer not null default 0,
    watermark integer,
    covered_from integer,
    backfill_from integer,
    is_backfilled integer not null default 0,
    status text not null default 'waiting'
      check (status in ('waiting', 'ok', 'failed', 'auth_failed', 'paused')),
    problem text,
    http_status integer,
    request_id text,
    failures integer not null default 0,
    started_at integer,
    succeeded_at integer,
    deep_read_at integer,
    next_due_at integer not null default 0,
    rows_read integer not null default 0,
    unfamiliar_rows integer not null default 0,
    refreshed_at text,
    grouping text,
    unique (connection_id, stream)
  ) strict`,

  `create table series (
    id integer primary key,
    stream_id integer not null references sync_stream (id),
    grouping text not null,
    dims text not null,
    model text,
    api_key text,
    workspace text,
    user text,
    service_tier text,
    context_window text,
    inference_geo text,
    speed text,
    component text,
    unique (stream_id, grouping, dims)
  ) strict`,

  `create table usage_bucket (
    stream_id integer not null references sync_stream (id),
    bucket_start integer not null,
    series_id integer not null references series (id),
    bucket_ms integer not null check (bucket_ms > 0),
    ${USAGE_COLUMNS},
    raw_json text,
    observed_at integer not null,
    revision integer not null default 1,
    primary key (stream_id, bucket_start, series_id)
  ) strict, without rowid`,

  `create table cost_bucket (
    stream_id integer not null references sync_stream (id),
    bucket_start integer not null,
    series_id integer not null references series (id),
    bucket_ms integer not null check (bucket_ms > 0),
    amount_nanos integer not null,
    list_nanos integer,
    currency text not null,
    raw_amount text not null,
    raw_json text,
    observed_at integer not null,
    revision integer not null default 1,
    primary key (stream_id, bucket_start, series_id)
  ) strict, without rowid`,

  `create table assistant_day (
    stream_id integer not null references sync_stream (id),
    bucket_start integer not null,
    identity text not null,
    user text not null,
    client text not null,
    billing_mode text not null check (billing_mode in ('api', 'subscription')),
    model text not null,
    uncached_input_tokens integer not null,
    cache_read_tokens integer not null,
    cache_write_tokens integer not null,
    output_tokens integer not null,
    estimated_nanos integer not null,
    observed_at integer not null,
    primary key (stream_id, bucket_start, identity)
  ) strict, without rowid`,

  // What a restated bucket said before; written only for buckets that had already ended.
  `create table bucket_revision (
    id integer primary key,
    stream_id integer not null references sync_stream (id),
    bucket_start integer not null,
    series_id integer not null references series (id),
    before_json text not null,
    after_json text,
    observed_at integer not null
  ) strict`,
  `create index bucket_revision_bucket on bucket_revision (stream_id, bucket_start)`,

  // A bucket that came back empty although it had rows: kept until a later run confirms it.
  `create table suspect_bucket (
    stream_id integer not null references sync_stream (id),
    bucket_start integer not null,
    first_seen_empty_at integer not null,
    primary key (stream_id, bucket_start)
  ) strict, without rowid`,

  `create table quarantined_row (
    stream_id integer not null references sync_stream (id),
    bucket_start integer not null,
    reason text not null,
    count integer not null,
    observed_at integer not null,
    primary key (stream_id, bucket_start, reason)
  ) strict, without rowid`,

  `create table directory_entry (
    connection_id text not null references connection (id),
    kind text not null check (kind in ('workspace', 'api_key', 'user')),
    id text not null,
    name text not null,
    parent_id text,
    status text,
    is_default integer not null default 0,
    observed_at integer not null,
    primary key (connection_id, kind, id)
  ) strict, without rowid`,

  `create table rollup_day (
    day integer not null,
    connection_id text not null references connection (id),
    model text not null,
    api_key text not null,
    workspace text not null,
    user text not null,
    ${SPEND_COLUMNS},
    primary key (day, connection_id, model, api_key, workspace, user)
  ) strict, without rowid`,

  `create table rollup_model_day (
    day integer not null,
    connection_id text not null references connection (id),
    model text not null,
    ${SPEND_COLUMNS},
    primary key (day, connection_id, model)
  ) strict, without rowid`,

  // With a rowid, so that rows are appended and only the small index of ids is filled at random places.
  `create table ledger_entry (
    id text primary key,
    source text not null check (source in ('otlp', 'local_log', 'proxy')),
    signal text check (signal in ('logs', 'spans', 'metrics')),
    client text,
    provider text not null,
    model text not null,
    occurred_at integer not null,
    session_id text,
    request_id text,
    user text,
    project text,
    billing_mode text not null check (billing_mode in ('api', 'subscription')),
    service_tier text,
    speed text,
    ${USAGE_COLUMNS},
    unpriced_reason text,
    reported_cost_nanos integer,
    tags text not null default '{}',
    recorded_at integer not null,
    check ((cost_nanos is null) = (price_rule is null))
  ) strict`,
  `create index ledger_entry_time on ledger_entry (occurred_at)`,
  `create index ledger_entry_session on ledger_entry (session_id) where session_id is not null`,
  `create index ledger_entry_request on ledger_entry (request_id) where request_id is not null`,

  `create table receiver (
    signal text not null,
    client text not null,
    accepted integer not null default 0,
    duplicates integer not null default 0,
    ignored integer not null default 0,
    rejected integer not null default 0,
    last_received_at integer not null,
    primary key (signal, client)
  ) strict, without rowid`,

  // One-time pages on which a person types a secret; any process may open one, the port's owner serves it.
  `create table connect_page (
    nonce_hash text primary key,
    provider text not null,
    name text not null,
    created_at integer not null,
    expires_at integer not null,
    used_at integer,
    tries integer not null default 0
  ) strict`,

  `create table access_token (
    id text primary key,
    name text not null,
    secret_hash text not null,
    scopes text not null,
    created_at integer not null,
    expires_at integer,
    last_used_at integer,
    revoked_at integer
  ) strict`,

  `create table audit (
    id integer primary key,
    at integer not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null default '{}',
    previous_hash text not null,
    hash text not null unique
  ) strict`,

  `create table lease (
    name text primary key,
    owner text not null,
    pid integer not null,
    hostname text not null,
    detail text not null default '{}',
    expires_at integer not null
  ) strict`,
]

import type { App } from '../app.ts'
import { isoTime, MINUTE_MS, utcDate } from '../clock.ts'
import { listConnections } from '../keys/connection.ts'
import { listUpstreamKeys } from '../keys/upstream-key.ts'
import { findLease } from '../store/lease.ts'
import type { Db } from '../store/schema.ts'
import { DIRECTORY_STREAM } from '../sync/stream.ts'
import { VERSION } from '../version.ts'
import { listBudgetProblems } from './budget-problems.ts'
import { listRefusalProblems } from './refusals.ts'
import { OWNER_LEASE } from './scheduler.ts'
import { isSyncing } from './sync.ts'
import { listTelemetryGaps, type TelemetryGaps } from './telemetry-gaps.ts'

export type StreamReport = {
  readonly stream: string
  readonly status: string
  /** Read up to here, over buckets that had ended. */
  readonly read_through: string | null
  readonly read_from: string | null
  readonly backfill_percent: number
  readonly last_success_at: string | null
  readonly problem: string | null
}

export type ConnectionReport = {
  readonly provider: string
  readonly name: string
  readonly organization: string | null
  /** The key's recognisable ends; never the key. */
  readonly key: string
  readonly key_from: 'stored' | 'environment'
  readonly state: 'ok' | 'syncing' | 'waiting' | 'needs_attention' | 'paused' | 'duplicate'
  readonly streams: readonly StreamReport[]
}

export type ReceiverReport = {
  readonly client: string
  readonly signal: string
  readonly accepted: number
  readonly duplicates: number
  readonly ignored: number
  readonly rejected: number
  readonly last_received_at: string
  /** On a client's latest row: what it could send as well. */
  readonly missing: string | null
}

export type ProviderKeyReport = {
  readonly provider: string
  readonly name: string
  /** The key's recognisable ends; never the key. */
  readonly key: string
}

export type StatusReport = {
  readonly version: string
  readonly node: string
  readonly store: { readonly driver: string; readonly path: string }
  /** The process that owns jobs and side port: this one, another one, or none. */
  readonly owner: 'this' | 'other' | 'none'
  readonly side_port: string | null
  readonly connections: readonly ConnectionReport[]
  /** What requests through the proxy are sent with. */
  readonly provider_keys: readonly ProviderKeyReport[]
  readonly receivers: readonly ReceiverReport[]
  /** What to fix, each with its next step; empty when all is well. */
  readonly problems: readonly string[]
  readonly as_of: string
}

/** Everything that says whether the figures can be trusted, and what to do where they cannot. */
export async function reportStatus(app: App): Promise<StatusReport> {
  const { db, holder, clock } = app
  const owner = await findLease(db, holder, OWNER_LEASE)
  const connections = await listConnections(db)
  const reports: ConnectionReport[] = []
  for (const connection of connections) {
    const streams = await listStreamReports(db, connection.id, clock.now())
    const syncing = await isSyncing(app, connection.id)
    reports.push({
      provider: connection.provider,
      name: connection.name,
      organization: connection.organization_name ?? connection.organization_id,
      key: connection.fingerprint,
      key_from: connection.origin,
      state: stateOf(connection, streams, syncing, clock.now()),
      streams,
    })
  }
  const gaps = await listTelemetryGaps(db, clock.now())
  const receivers = await listReceivers(db, gaps)
  const upstreams = await listUpstreamKeys(db)
  const side_port = owner ? sidePortOf(owner.detail) : null
  return {
    version: VERSION,
    node: app.node_version,
    store: { driver: app.store_driver, path: app.store_path },
    owner: owner === undefined ? 'none' : owner.owner === holder.id ? 'this' : 'other',
    side_port,
    connections: reports,
    provider_keys: upstreams.map(({ provider, name, fingerprint: key }) => ({
      provider,
      name,
      key,
    })),
    receivers,
    problems: [
      ...connections.flatMap((one) => connectionProblems(one, clock.now())),
      ...reports.flatMap(streamProblems),
      ...(await quarantineProblems(db)),
      ...(await emptiedProblems(db)),
      ...emptyProblems(reports.length + upstreams.length + receivers.length),
      ...(await listRefusalProblems(db, clock.now())),
      ...gaps.problems,
      ...(await listBudgetProblems(db, clock.now())),
      ...portProblems(owner?.detail),
    ],
    as_of: isoTime(clock.now()),
  }
}

async function listStreamReports(
  db: Db,
  connection_id: string,
  now: number,
): Promise<StreamReport[]> {
  const rows = await db
    .selectFrom('sync_stream')
    .selectAll()
    .where('connection_id', '=', connection_id)
    .orderBy('id')
    .execute()
  return rows.map((row) => ({
    stream: row.stream,
    status: row.status,
    read_through: row.watermark === null ? null : isoTime(row.watermark),
    read_from: row.covered_from === null ? null : utcDate(row.covered_from),
    backfill_percent: backfillPercent(row, now),
    last_success_at: row.succeeded_at === null ? null : isoTime(row.succeeded_at),
    problem: row.problem,
  }))
}

function backfillPercent(
  row: {
    is_backfilled: number
    covered_from: number | null
    backfill_from: number | null
    view: string
  },
  now: number,
): number {
  if (row.is_backfilled === 1 || row.view === 'directory') return 100
  if (row.covered_from === null || row.backfill_from === null) return 0
  const share = (now - row.covered_from) / Math.max(now - row.backfill_from, 1)
  return Math.min(99, Math.floor(share * 100))
}

function stateOf(
  connection: { paused_until: number | null; duplicate_of: string | null },
  streams: readonly StreamReport[],
  syncing: boolean,
  now: number,
): ConnectionReport['state'] {
  if (connection.duplicate_of !== null) return 'duplicate'
  // Without names figures are complete all the same.
  const reports = streams.filter(({ stream }) => stream !== DIRECTORY_STREAM)
  if (reports.some(({ status }) => status === 'auth_failed' || status === 'failed'))
    return 'needs_attention'
  if ((connection.paused_until ?? 0) > now) return 'paused'
  if (syncing) return 'syncing'
  return streams.some(({ last_success_at }) => last_success_at !== null) ? 'ok' : 'waiting'
}

function connectionProblems(
  connection: {
    provider: string
    name: string
    clock_skew_ms: number | null
    paused_until: number | null
    duplicate_of: string | null
  },
  now: number,
): string[] {
  const { provider, name, clock_skew_ms, paused_until, duplicate_of } = connection
  const title = `${provider} "${name}"`
  return [
    duplicate_of !== null &&
      `${title} holds a second key of an organisation that is connected already; it is not read. Remove one of them.`,
    (paused_until ?? 0) > now &&
      `${title} is paused until ${isoTime(paused_until ?? 0)} because the provider asked to slow down; it goes on by itself.`,
    clock_skew_ms !== null &&
      Math.abs(clock_skew_ms) > 2 * MINUTE_MS &&
      `This machine's clock differs from ${provider}'s by ${Math.round(clock_skew_ms / 1000)} s. Set it, or days will be cut wrongly.`,
  ].filter((text): text is string => Boolean(text))
}

/** One sentence for all streams with the same trouble. */
function streamProblems({ provider, name, streams }: ConnectionReport): string[] {
  const troubled = streams.filter(({ problem }) => problem !== null)
  return [...Map.groupBy(troubled, ({ problem }) => problem)].map(
    ([problem, ones]) =>
      `${provider} "${name}" (${ones.map(({ stream }) => stream).join(', ')}): ${problem}`,
  )
}

async function quarantineProblems(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom('quarantined_row')
    .innerJoin('sync_stream', 'sync_stream.id', 'quarantined_row.stream_id')
    .innerJoin('connection', 'connection.id', 'sync_stream.connection_id')
    .select((eb) => [
      'provider',
      'stream',
      eb.fn.sum<number>('count').as('count'),
      eb.fn.min<string>('reason').as('reasons'),
    ])
    .groupBy(['provider', 'stream'])
    .execute()
  return rows.map(
    ({ provider, stream, count, reasons }) =>
      `${count} ${count === 1 ? 'row' : 'rows'} of ${provider} ${stream} could not be read and ${count === 1 ? 'is' : 'are'} left out (${reasons}). They are asked for again until they can be read; if that lasts, a newer Outlay may know them.`,
  )
}

/** A provider that lost its own report for a while must not take the figures along. */
async function emptiedProblems(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom('suspect_bucket')
    .innerJoin('sync_stream', 'sync_stream.id', 'suspect_bucket.stream_id')
    .innerJoin('connection', 'connection.id', 'sync_stream.connection_id')
    .select((eb) => [
      'provider',
      'stream',
      eb.fn.countAll<number>().as('count'),
      eb.fn.min('bucket_start').as('first'),
      eb.fn.max('bucket_start').as('last'),
    ])
    .groupBy(['provider', 'stream'])
    .execute()
  return rows.map(({ provider, stream, count, first, last }) => {
    const days =
      utcDate(first) === utcDate(last) ? utcDate(first) : `${utcDate(first)} to ${utcDate(last)}`
    return `${provider} ${stream} reports nothing any more for ${count} ${count === 1 ? 'bucket' : 'buckets'} that had figures (${days}). They stay until a second read, an hour later, says the same.`
  })
}

function emptyProblems(sources: number): string[] {
  if (sources > 0) return []
  return [
    'Nothing is connected. Call connect_provider, or run: outlay connect <provider>. For coding assistants: outlay env claude-code.',
  ]
}

async function listReceivers(db: Db, { missing }: TelemetryGaps): Promise<ReceiverReport[]> {
  const rows = await db
    .selectFrom('receiver')
    .selectAll()
    .where('signal', '<>', 'misdirected')
    .where('signal', 'not like', 'refused%')
    .orderBy('last_received_at', 'desc')
    .limit(50)
    .execute()
  const latest = new Map(rows.toReversed().map((row) => [row.client, row]))
  return rows.map((row) => ({
    ...row,
    last_received_at: isoTime(row.last_received_at),
    missing: (latest.get(row.client) === row && missing.get(row.client)) || null,
  }))
}

function sidePortOf(detail: string): string | null {
  return parseDetail(detail).side_port ?? null
}

function portProblems(detail: string | undefined): string[] {
  const problem = detail && parseDetail(detail).side_port_problem
  return problem ? [problem] : []
}

/** What the owner writes into its lease for the others to read. */
export type OwnerDetail = {
  readonly side_port?: string
  readonly side_port_problem?: string
}

function parseDetail(detail: string): OwnerDetail {
  return JSON.parse(detail) as OwnerDetail
}

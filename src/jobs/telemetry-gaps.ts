import { sql } from 'kysely'
import { DAY_MS } from '../clock.ts'
import type { Db } from '../store/schema.ts'

const LOOKED_AT_MS = 7 * DAY_MS
/** A signal that is so far behind the client's others has stopped. */
const BEHIND_MS = DAY_MS

export type TelemetryGaps = {
  /** What makes figures late, coarse or wrong. */
  readonly problems: readonly string[]
  /** By client, what would tell more. */
  readonly missing: ReadonlyMap<string, string>
}

/** Clients whose log events name each request, and what turns them on. */
const EVENTS: Readonly<Record<string, string>> = {
  'claude-code': 'set OTEL_LOGS_EXPORTER=otlp',
  codex: 'set exporter under [otel] in ~/.codex/config.toml',
  'gemini-cli': 'set telemetry.enabled in ~/.gemini/settings.json',
  'qwen-code': 'set telemetry.enabled in ~/.qwen/settings.json',
}

/** What only a client's metrics say, and what turns them on: https://code.claude.com/docs/en/monitoring-usage */
const METRICS: Readonly<Record<string, string>> = {
  'claude-code':
    'lines of code, commits and pull requests are not known. Set OTEL_METRICS_EXPORTER=otlp (outlay env claude-code).',
}

/** Clients whose metrics name their session unless that was turned off. */
const SESSION_SWITCHES: Readonly<Record<string, string>> = {
  'claude-code': 'Leave OTEL_METRICS_INCLUDE_SESSION_ID unset or true',
}

/** What clients leave out of their telemetry, judged by what arrived of each in the last days. */
export async function listTelemetryGaps(db: Db, now: number): Promise<TelemetryGaps> {
  const since = now - LOOKED_AT_MS
  const arrived = await db
    .selectFrom('receiver')
    .select(['client', 'signal', 'last_received_at'])
    .where('signal', 'in', ['logs', 'metrics', 'traces'])
    .where('accepted', '>', 0)
    .where('last_received_at', '>', since)
    .limit(1_000)
    .execute()
  const problems: string[] = []
  const missing = new Map<string, string>()
  for (const [client, rows] of Map.groupBy(arrived, (row) => row.client)) {
    const latest = Math.max(...rows.map(({ last_received_at }) => last_received_at))
    const is_missing = (signal: string) =>
      !rows.some((row) => row.signal === signal && row.last_received_at > latest - BEHIND_MS)
    const switch_on = EVENTS[client]
    if (switch_on && is_missing('logs')) problems.push(formatNoEvents(client, rows, switch_on))
    const lost = METRICS[client]
    if (lost && is_missing('metrics')) missing.set(client, `metrics: ${lost}`)
  }
  for (const client of await listSessionless(db, since))
    missing.set(
      client,
      `the session in its metrics: they are matched with its log events by user and hour alone. ${SESSION_SWITCHES[client]}.`,
    )
  return { problems, missing }
}

function formatNoEvents(
  client: string,
  rows: readonly { readonly signal: string }[],
  switch_on: string,
): string {
  const signals = rows.flatMap(({ signal }) => (signal === 'logs' ? [] : [signal])).sort()
  return `${client} sends ${signals.join(' and ')}, but no log events: only sums are known, minutes late and without their requests. To get each request, ${switch_on} (outlay env ${client}).`
}

async function listSessionless(db: Db, since: number): Promise<string[]> {
  const rows = await db
    .selectFrom('metric_series')
    .innerJoin('metric_point', 'metric_point.series_id', 'metric_series.id')
    .select('client')
    .distinct()
    .where('client', 'in', Object.keys(SESSION_SWITCHES))
    .where('session_id', 'is', null)
    .where(sql<boolean>`received_at > ${sql.lit(since)}`)
    .execute()
  return rows.map(({ client }) => client)
}

import { sql } from 'kysely'
import { isoTime } from '../clock.ts'
import { usdFromNanos } from '../money.ts'
import type { Period } from '../period.ts'
import type { Db } from '../store/schema.ts'
import { countsSince, entryCells, IS_TOLD_BETTER } from './entry-cells.ts'
import { settlePending } from './pending.ts'
import { listSessionFacts, type SessionFacts } from './session-facts.ts'

export type SessionQuery = {
  readonly period: Period
  readonly clients: readonly string[] | undefined
  readonly limit: number
  readonly now: number
}

export type Session = SessionFacts & {
  readonly session: string
  readonly client: string
  readonly user?: string
  readonly project?: string
  readonly tags?: Readonly<Record<string, string>>
  /** The costliest first. */
  readonly models: readonly string[]
  readonly started_at: string
  readonly ended_at: string
  readonly cost_usd: string
  readonly subscription_list_value_usd?: string
  /** Absent where only metrics tell of it. */
  readonly requests?: number
  readonly uncached_input_tokens: number
  readonly cached_input_tokens: number
  readonly cache_write_tokens: number
  readonly output_tokens: number
  readonly unpriced_requests: number
}

export type SessionList = {
  readonly sessions: readonly Session[]
  /** All sessions of the period, listed or not. */
  readonly count: number
  readonly nanos: bigint
  /** What no session is known of. */
  readonly without_session_nanos: bigint
}

type Key = { readonly client: string; readonly session_id: string }

/** Sessions that counted in a period, by what they cost in it, seats at their list value. */
export async function listSessions(db: Db, query: SessionQuery): Promise<SessionList> {
  await settlePending(db)
  const totals = await sumSessions(db, query)
  const rows = await listRows(db, query, totals.top)
  const facts = await listSessionFacts(
    db,
    totals.top.map(({ session_id }) => session_id),
  )
  const by_session = Map.groupBy(rows, keyText)
  return {
    sessions: totals.top.map((key) => ({
      ...describe(key, by_session.get(keyText(key)) ?? []),
      ...facts.get(key.session_id),
    })),
    count: totals.count,
    nanos: totals.nanos,
    without_session_nanos: totals.without_session_nanos,
  }
}

async function sumSessions(db: Db, query: SessionQuery) {
  const { period, clients, limit, now } = query
  const cells = entryCells({
    start_at: period.start_at,
    end_at: period.end_at,
    columns: ['client', 'session_id'],
    needs_quarter: false,
    now,
  })
  const wanted = clients
    ? sql`where client in (select value from json_each(${JSON.stringify(clients)}))`
    : sql``
  const { rows } = await sql<Key & { count: number; nanos: string; without: string }>`
    with spend as materialized (
      select client, session_id, sum(metered_nanos) as nanos,
        sum(input_tokens + output_tokens) as tokens
      from ${cells} ${wanted} group by client, session_id having sum(entries) > 0),
    total as (
      select sum(session_id <> '') as count,
        cast(sum(iif(session_id <> '', nanos, 0)) as text) as nanos,
        cast(sum(iif(session_id = '', nanos, 0)) as text) as without from spend)
    select client, session_id, total.* from total
      left join (select * from spend where session_id <> ''
        order by nanos desc, tokens desc, client, session_id limit ${limit})`.execute(db)
  const [first] = rows
  return {
    top: rows.flatMap(({ client, session_id }) => (session_id ? [{ client, session_id }] : [])),
    count: first?.count ?? 0,
    nanos: BigInt(first?.nanos ?? 0),
    without_session_nanos: BigInt(first?.without ?? 0),
  }
}

type Row = Key & {
  readonly billing_mode: 'api' | 'subscription'
  readonly model: string
  readonly user: string | null
  readonly project: string | null
  readonly tags: string
  readonly started_at: number
  readonly ended_at: number
  readonly requests: number
  readonly uncached_input_tokens: number
  readonly cached_input_tokens: number
  readonly cache_write_tokens: number
  readonly output_tokens: number
  readonly unpriced_requests: number
  readonly nanos: string
}

async function listRows(db: Db, query: SessionQuery, keys: readonly Key[]): Promise<Row[]> {
  const list = JSON.stringify(keys)
  const { start_at, end_at } = query.period
  const of_keys = sql`session_id in (select value ->> 'session_id' from json_each(${list}))
    and occurred_at >= ${start_at} and occurred_at < ${end_at}`
  const shared = sql`coalesce(client, '') as client, session_id, billing_mode, model, user, project,
    tags, occurred_at, uncached_input_tokens, cache_read_tokens, output_tokens, cost_nanos`
  const { rows } = await sql<Row>`
    select client, session_id, billing_mode, model, user, project, tags,
      min(started_at) as started_at, max(occurred_at) as ended_at, sum(requests) as requests,
      sum(uncached_input_tokens) as uncached_input_tokens,
      sum(cache_read_tokens) as cached_input_tokens, sum(writes) as cache_write_tokens,
      sum(output_tokens) as output_tokens,
      sum(iif(cost_nanos is null, max(requests, 1), 0)) as unpriced_requests,
      cast(coalesce(sum(cost_nanos), 0) as text) as nanos
    from (
      select ${shared}, occurred_at as started_at, coalesce(requests, 1) as requests,
        cache_write_5m_tokens + cache_write_1h_tokens as writes
      from ledger_entry where ${of_keys} and superseded_by is null
      union all
      select ${shared}, started_at, 0 as requests, cache_write_5m_tokens as writes
      from fallback_entry fallback
      where ${of_keys} and ${countsSince(query.now)} and not ${IS_TOLD_BETTER})
    group by client, session_id, billing_mode, model, user, project, tags`.execute(db)
  return rows
}

function describe({ client, session_id }: Key, rows: readonly Row[]): Session {
  const costliest = rows.toSorted((a, b) => Number(BigInt(b.nanos) - BigInt(a.nanos)))
  const [main] = costliest
  const nanos = (mode: Row['billing_mode']) =>
    rows
      .filter(({ billing_mode }) => billing_mode === mode)
      .reduce((sum, row) => sum + BigInt(row.nanos), 0n)
  const sum = (name: 'requests' | TokenColumn) => rows.reduce((total, row) => total + row[name], 0)
  const tags = JSON.parse(main?.tags ?? '{}') as Record<string, string>
  const seats = nanos('subscription')
  const requests = sum('requests')
  return {
    session: session_id,
    client: client || 'unknown',
    ...(main?.user ? { user: main.user } : {}),
    ...(main?.project ? { project: main.project } : {}),
    ...(Object.keys(tags).length > 0 ? { tags } : {}),
    models: [...new Set(costliest.map(({ model }) => model))],
    started_at: isoTime(Math.min(...rows.map((row) => row.started_at))),
    ended_at: isoTime(Math.max(...rows.map((row) => row.ended_at))),
    cost_usd: usdFromNanos(nanos('api')),
    ...(seats > 0n ? { subscription_list_value_usd: usdFromNanos(seats) } : {}),
    ...(requests > 0 ? { requests } : {}),
    uncached_input_tokens: sum('uncached_input_tokens'),
    cached_input_tokens: sum('cached_input_tokens'),
    cache_write_tokens: sum('cache_write_tokens'),
    output_tokens: sum('output_tokens'),
    unpriced_requests: sum('unpriced_requests'),
  }
}

type TokenColumn =
  | 'uncached_input_tokens'
  | 'cached_input_tokens'
  | 'cache_write_tokens'
  | 'output_tokens'
  | 'unpriced_requests'

function keyText({ client, session_id }: Key): string {
  return JSON.stringify([client, session_id])
}

import { sql } from 'kysely'
import type { Nanos } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { priceUsage } from '../pricing/price.ts'
import { type Cell, insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import { countedUsage, type Usage } from '../usage.ts'
import { GRACE_MS, PRECEDENCE, settleCounting } from './counting.ts'
import { addToRollups, listCountables } from './entry-rollup.ts'
import type { Formula, Measure } from './metric.ts'

/** A point and its series, as stored. */
type StoredPoint = {
  readonly group_key: string
  readonly client: string
  readonly provider: string
  readonly model: string
  readonly session_id: string | null
  readonly origin: string
  readonly user: string | null
  readonly project: string | null
  readonly billing_mode: 'api' | 'subscription'
  readonly tags: string
  readonly telling: string
  readonly measure: Measure
  readonly formula: string
  readonly is_cumulative: number
  readonly counts_from_zero: number
  readonly start_ns: string
  readonly value: string
  readonly value_min: string
  readonly last_at: number
  readonly received_at: number
}

const COLUMNS = [
  'id',
  'client',
  'provider',
  'model',
  'session_id',
  'origin',
  'user',
  'project',
  'billing_mode',
  'tags',
  'started_at',
  'occurred_at',
  'counts_from',
  'uncached_input_tokens',
  'cache_read_tokens',
  'cache_write_5m_tokens',
  'output_tokens',
  'reasoning_tokens',
  'cost_nanos',
  'price_rule',
  'unpriced_reason',
  'reported_cost_nanos',
]

/**
 * Makes anew what the metrics of some groups come to: of each way that the client has of telling it the
 * sums, and of these the largest. A session that metrics begin to tell of outranks what is below them.
 */
export async function projectFallbacks(
  trx: Db,
  catalog: Catalog,
  groups: ReadonlySet<string>,
): Promise<void> {
  const points = await listPoints(trx, groups)
  const rows = [...Map.groupBy(points, ({ group_key }) => group_key).values()].flatMap((group) => {
    const row = projectGroup(catalog, group)
    return row ? [row] : []
  })
  const { rows: known } = await sql<{ id: string }>`
    delete from fallback_entry where id in (select value from json_each(${JSON.stringify([...groups])}))
    returning id`.execute(trx)
  await insertRows(
    trx,
    'fallback_entry',
    COLUMNS,
    rows.map(({ cells }) => cells),
  )
  const is_known = new Set(known.map(({ id }) => id))
  const tellings = rows.flatMap(({ id, client, session_id }) =>
    session_id === null || is_known.has(id)
      ? []
      : [
          {
            client,
            scope: `session:${session_id}`,
            precedence: PRECEDENCE.otlp_metrics,
            is_identified: 0 as const,
          },
        ],
  )
  const { displaced } = await settleCounting(trx, [], tellings)
  await addToRollups(trx, await listCountables(trx, displaced), -1n)
}

/** Drops the projection and makes it again from the points alone. */
export async function rebuildFallbacks(trx: Db, catalog: Catalog): Promise<void> {
  await trx.deleteFrom('fallback_entry').execute()
  const groups = await trx.selectFrom('metric_series').select('group_key').distinct().execute()
  await projectFallbacks(trx, catalog, new Set(groups.map(({ group_key }) => group_key)))
}

async function listPoints(trx: Db, groups: ReadonlySet<string>): Promise<StoredPoint[]> {
  const list = JSON.stringify([...groups])
  const { rows } = await sql<StoredPoint>`
    select series.*, cast(start_ns as text) as start_ns, cast(value as text) as value,
      cast(value_min as text) as value_min, last_at, received_at
    from metric_series series join metric_point on series_id = series.id
    where series.group_key in (select value from json_each(${list}))`.execute(trx)
  return rows
}

type Sums = Partial<Record<Measure, bigint>>

type Row = {
  readonly id: string
  readonly client: string
  readonly session_id: string | null
  readonly cells: readonly Cell[]
}

function projectGroup(catalog: Catalog, points: readonly StoredPoint[]): Row | undefined {
  const [first] = points
  const usage = first && usageOf(points)
  if (!first || !usage) return undefined
  const occurred_at = Math.max(...points.map(({ last_at }) => last_at))
  const starts = points.map(({ start_ns }) => Number(BigInt(start_ns) / 1_000_000n)).filter(Boolean)
  const cost = costOf(catalog, first, usage, occurred_at)
  const { counts } = usage
  return {
    id: first.group_key,
    client: first.client,
    session_id: first.session_id,
    cells: [
      first.group_key,
      first.client,
      first.provider,
      first.model,
      first.session_id,
      first.origin,
      first.user,
      first.project,
      first.billing_mode,
      first.tags,
      Math.min(occurred_at, ...starts),
      occurred_at,
      Math.min(...points.map(({ received_at }) => received_at)) + GRACE_MS,
      counts.uncached_input_tokens,
      counts.cache_read_tokens,
      counts.cache_write_5m_tokens,
      counts.output_tokens,
      counts.reasoning_tokens,
      ...cost,
    ],
  }
}

type GroupUsage = { readonly counts: Usage; readonly reported_nanos: Nanos | null }

/** Undefined where the metrics tell of no tokens and no cost: of lines or commits only. */
function usageOf(points: readonly StoredPoint[]): GroupUsage | undefined {
  const tellings = Map.groupBy(
    points,
    ({ telling, is_cumulative }) => `${telling} ${is_cumulative}`,
  )
  const candidates = [...tellings.keys()].sort().map((key) => tellingUsage(tellings.get(key) ?? []))
  let best: GroupUsage | undefined
  for (const one of candidates) if (!best || weightOf(one) > weightOf(best)) best = one
  return best && weightOf(best) > 0 ? best : undefined
}

function weightOf({ counts, reported_nanos }: GroupUsage): number {
  const { uncached_input_tokens, cache_read_tokens, cache_write_5m_tokens, output_tokens } = counts
  const tokens = uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + output_tokens
  return tokens > 0 ? tokens : reported_nanos === null ? 0 : 0.5
}

function tellingUsage(points: readonly StoredPoint[]): GroupUsage {
  const sums: Sums = {}
  for (const point of points)
    sums[point.measure] = (sums[point.measure] ?? 0n) + contribution(point)
  const tokens = (name: Measure) => Number(sums[name] ?? 0n)
  const formula = JSON.parse(points[0]?.formula ?? '{}') as Formula
  const counts = countedUsage(
    {
      input: tokens('input'),
      other_input: tokens('other_input'),
      cache_read: tokens('cache_read'),
      cache_write: tokens('cache_write'),
      output: tokens('output'),
      reasoning: tokens('reasoning'),
    },
    formula,
  )
  const cost = sums.cost_nanos ?? 0n
  return { counts: { ...counts, requests: null }, reported_nanos: cost > 0n ? cost : null }
}

/** Of a series whose start nobody told, only what was counted while we looked. */
function contribution({ value, value_min, start_ns, ...point }: StoredPoint): bigint {
  const is_baseline = point.is_cumulative && !point.counts_from_zero && start_ns === '0'
  return BigInt(value) - (is_baseline ? BigInt(value_min) : 0n)
}

/** `cost_nanos`, `price_rule`, `unpriced_reason`, `reported_cost_nanos`. */
function costOf(
  catalog: Catalog,
  { provider, model }: StoredPoint,
  { counts, reported_nanos }: GroupUsage,
  at: number,
): Cell[] {
  if (reported_nanos !== null) return [reported_nanos, 'reported', null, reported_nanos]
  const priced = priceUsage(catalog, {
    provider,
    model,
    at,
    service_tier: null,
    speed: null,
    is_single_request: false,
    usage: counts,
  })
  return priced.cost_nanos === null
    ? [null, null, priced.reason, null]
    : [priced.cost_nanos, priced.rule_id, null, null]
}

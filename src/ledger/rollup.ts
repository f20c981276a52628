import { sql } from 'kysely'
import { DAY_MS, floorTo } from '../clock.ts'
import { type Cell, insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import { TOKEN_CLASSES, type TokenClass } from '../usage.ts'
import { type CellDimensions, createAllocator, type UsageCell } from './allocate.ts'
import type { CostComponent } from './bucket.ts'

/**
 * Rollups are projections of the buckets: dropping them and rebuilding gives the same rows. One row
 * per day and coordinates holds both views side by side, what the provider billed and what usage costs
 * at catalog prices; a reader takes one of the two.
 */
export async function rebuildDays(
  trx: Db,
  connection_id: string,
  instants: Iterable<number>,
): Promise<void> {
  const days = [...new Set([...instants].map((at) => floorTo(at, DAY_MS)))].sort((a, b) => a - b)
  for (let i = 0; i < days.length; i += DAYS_AT_ONCE)
    await rebuildSome(trx, connection_id, days.slice(i, i + DAYS_AT_ONCE))
}

/** Enough that statements are full, few enough that a month of a large organisation is never in memory. */
const DAYS_AT_ONCE = 7

async function rebuildSome(trx: Db, connection_id: string, days: readonly number[]): Promise<void> {
  const range = { start: days[0] ?? 0, end: (days.at(-1) ?? 0) + DAY_MS }
  const usage = groupByDay(await listUsage(trx, connection_id, range))
  const cost = groupByDay(await listCost(trx, connection_id, range))
  const projected = days.map((day) => ({
    day,
    rows: projectDay(usage.get(day) ?? [], cost.get(day) ?? []),
  }))
  await writeDays(trx, connection_id, projected)
}

/** Drops the rollups and makes them again from the buckets. */
export async function rebuildAll(trx: Db): Promise<void> {
  await trx.deleteFrom('rollup_day').execute()
  await trx.deleteFrom('rollup_model_day').execute()
  await trx.deleteFrom('stale_day').execute()
  const connections = await trx.selectFrom('connection').select('id').execute()
  for (const { id } of connections) await rebuildDays(trx, id, await listBucketDays(trx, id))
}

async function listBucketDays(trx: Db, connection_id: string): Promise<number[]> {
  const { rows } = await sql<{ day: number }>`
    select distinct bucket_start / ${DAY_MS} * ${DAY_MS} as day from (
      select stream_id, bucket_start from usage_bucket
      union all select stream_id, bucket_start from cost_bucket)
    where stream_id in (select id from sync_stream where connection_id = ${connection_id})
    `.execute(trx)
  return rows.map(({ day }) => day)
}

type Place = { model: string; api_key: string; workspace: string; user: string }

type Spend = {
  requests: number
  uncounted_rows: number
  input_tokens: number
  cached_input_tokens: number
  cache_write_tokens: number
  output_tokens: number
  billed_nanos: bigint
  allocated_nanos: bigint
  metered_nanos: bigint
  unpriced_requests: number
  byok_nanos: bigint
  other_currency_rows: number
}

type SpendRow = Place & Spend

function noSpend(): Spend {
  return {
    requests: 0,
    uncounted_rows: 0,
    input_tokens: 0,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 0,
    billed_nanos: 0n,
    allocated_nanos: 0n,
    metered_nanos: 0n,
    unpriced_requests: 0,
    byok_nanos: 0n,
    other_currency_rows: 0,
  }
}

const SPEND_NAMES = Object.keys(noSpend()) as (keyof Spend)[]

type SeriesColumns = CellDimensions & { readonly day: number; readonly component: string | null }

type UsageRow = SeriesColumns &
  Record<TokenClass, number> & {
    readonly unit: string | null
    readonly units: number
    readonly requests: number
    readonly uncounted_rows: number
    readonly unpriced_requests: number
    readonly metered_nanos: string
  }

type CostRow = SeriesColumns & { readonly currency: string; readonly nanos: string }

function projectDay(usage: readonly UsageRow[], cost: readonly CostRow[]): SpendRow[] {
  const rows = new Map<string, SpendRow>()
  const at = (place: Place): SpendRow => {
    const id = JSON.stringify([place.model, place.api_key, place.workspace, place.user])
    const row = rows.get(id) ?? { ...place, ...noSpend() }
    rows.set(id, row)
    return row
  }
  for (const row of usage) addUsage(at(placeOf(row)), row)
  const allocate = createAllocator(usage.map(usageCell))
  for (const row of cost) {
    const component = (row.component ?? 'other') as CostComponent
    for (const share of allocate({ dims: row, component, nanos: BigInt(row.nanos) })) {
      const { model, api_key, workspace, user } = share
      addCost(at({ model, api_key, workspace, user }), row, share)
    }
  }
  return [...rows.values()]
}

function addUsage(spend: Spend, row: UsageRow): void {
  const writes = row.cache_write_5m_tokens + row.cache_write_1h_tokens
  spend.requests += row.requests
  spend.uncounted_rows += row.uncounted_rows
  spend.input_tokens +=
    row.uncached_input_tokens +
    row.cache_read_tokens +
    writes +
    row.input_audio_tokens +
    row.input_image_tokens
  spend.cached_input_tokens += row.cache_read_tokens
  spend.cache_write_tokens += writes
  spend.output_tokens += row.output_tokens + row.output_audio_tokens + row.output_image_tokens
  spend.metered_nanos += BigInt(row.metered_nanos)
  spend.unpriced_requests += row.unpriced_requests
}

function addCost(
  spend: Spend,
  { component, currency }: CostRow,
  share: { nanos: bigint; is_allocated: boolean },
): void {
  if (currency !== 'usd') spend.other_currency_rows += 1
  else if (component === 'byok_inference') spend.byok_nanos += share.nanos
  else {
    spend.billed_nanos += share.nanos
    if (share.is_allocated) spend.allocated_nanos += share.nanos
  }
}

function usageCell(row: UsageRow): UsageCell {
  return {
    dims: row,
    weight: (component) => {
      if (component === row.unit) return row.units
      const tokens = TOKEN_CLASSES.find((name) => name === component)
      return tokens ? row[tokens] : 0
    },
  }
}

function placeOf(row: SeriesColumns): Place {
  return {
    model: row.model ?? '',
    api_key: row.api_key ?? '',
    workspace: row.workspace ?? '',
    user: row.user ?? '',
  }
}

type DayRange = { readonly start: number; readonly end: number }

/** Usage per day and series: hours are summed by the database. */
async function listUsage(trx: Db, connection_id: string, range: DayRange): Promise<UsageRow[]> {
  const tokens = TOKEN_CLASSES.map((name) => sql`sum(${sql.ref(name)}) as ${sql.ref(name)}`)
  const { rows } = await sql<UsageRow>`
    select bucket.*, ${SERIES_COLUMNS} from (
      select bucket_start / ${DAY_MS} * ${DAY_MS} as day, series_id, unit, ${sql.join(tokens)},
        sum(units) as units,
        coalesce(sum(requests), 0) as requests,
        sum(requests is null) as uncounted_rows,
        sum(iif(cost_nanos is null, max(coalesce(requests, 1), 1), 0)) as unpriced_requests,
        cast(coalesce(sum(cost_nanos), 0) as text) as metered_nanos
      from usage_bucket
      where ${inRange(connection_id, range)} group by 1, 2, 3) bucket
    join series on series.id = bucket.series_id order by day, series.dims, unit`.execute(trx)
  return rows
}

async function listCost(trx: Db, connection_id: string, range: DayRange): Promise<CostRow[]> {
  const { rows } = await sql<CostRow>`
    select bucket.*, ${SERIES_COLUMNS} from (
      select bucket_start / ${DAY_MS} * ${DAY_MS} as day, series_id, currency,
        cast(sum(amount_nanos) as text) as nanos
      from cost_bucket
      where ${inRange(connection_id, range)} group by 1, 2, 3) bucket
    join series on series.id = bucket.series_id order by day, series.dims, currency`.execute(trx)
  return rows
}

const SERIES_COLUMNS = sql.raw(
  [
    'model',
    'api_key',
    'workspace',
    'user',
    'service_tier',
    'context_window',
    'inference_geo',
    'component',
  ]
    .map((name) => `series.${name} as ${name}`)
    .join(', '),
)

function inRange(connection_id: string, { start, end }: DayRange) {
  return sql`stream_id in (select id from sync_stream where connection_id = ${connection_id})
    and bucket_start >= ${start} and bucket_start < ${end}`
}

function groupByDay<Row extends { readonly day: number }>(rows: readonly Row[]) {
  const days = new Map<number, Row[]>()
  for (const row of rows) {
    const list = days.get(row.day)
    if (list) list.push(row)
    else days.set(row.day, [row])
  }
  return days
}

type ProjectedDay = { readonly day: number; readonly rows: readonly SpendRow[] }

async function writeDays(
  trx: Db,
  connection_id: string,
  days: readonly ProjectedDay[],
): Promise<void> {
  for (const table of ['rollup_day', 'rollup_model_day'] as const)
    await trx
      .deleteFrom(table)
      .where(
        'day',
        'in',
        days.map(({ day }) => day),
      )
      .where('connection_id', '=', connection_id)
      .execute()
  const cells = (row: Spend): Cell[] => SPEND_NAMES.map((name) => row[name])
  await insertRows(
    trx,
    'rollup_day',
    ['day', 'connection_id', 'model', 'api_key', 'workspace', 'user', ...SPEND_NAMES],
    days.flatMap(({ day, rows }) =>
      rows.map((row) => [
        day,
        connection_id,
        row.model,
        row.api_key,
        row.workspace,
        row.user,
        ...cells(row),
      ]),
    ),
  )
  await insertRows(
    trx,
    'rollup_model_day',
    ['day', 'connection_id', 'model', ...SPEND_NAMES],
    days.flatMap(({ day, rows }) =>
      [...sumByModel(rows)].map(([model, row]) => [day, connection_id, model, ...cells(row)]),
    ),
  )
}

function sumByModel(rows: readonly SpendRow[]): Map<string, Spend> {
  const models = new Map<string, Spend>()
  for (const row of rows) {
    const sum = models.get(row.model) ?? noSpend()
    for (const name of SPEND_NAMES) addInto(sum, row, name)
    models.set(row.model, sum)
  }
  return models
}

function addInto(sum: Spend, row: Spend, name: keyof Spend): void {
  const values = sum as Record<keyof Spend, number | bigint>
  const a = sum[name]
  const b = row[name]
  values[name] = typeof a === 'bigint' ? a + (b as bigint) : a + (b as number)
}

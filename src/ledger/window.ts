import { sql } from 'kysely'
import type { Catalog } from '../pricing/catalog.ts'
import { priceUsage } from '../pricing/price.ts'
import { type Cell, insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import { TOKEN_CLASSES } from '../usage.ts'
import { replaceAssistantDays } from './assistant-day.ts'
import type { CostBucket, Dimensions, ReportWindow, UsageBucket } from './bucket.ts'
import { recordMalformed } from './quarantine.ts'
import { keepRevisions } from './revision.ts'
import { internSeries, type SeriesIds } from './series.ts'
import { markStale } from './stale-day.ts'
import { keptBuckets } from './suspect-bucket.ts'

/**
 * Makes the stored buckets of the range say what the window says: new rows are added, changed ones
 * replaced, vanished ones removed, and what an ended bucket said before is kept as a revision.
 * Writing the same window again changes nothing.
 */
export async function replaceWindow(
  trx: Db,
  catalog: Catalog,
  window: ReportWindow,
): Promise<void> {
  const all_dims = [...window.usage, ...window.cost].map(({ dims }) => dims)
  const series = await internSeries(trx, window.stream_id, window.grouping, all_dims)
  const keep = await keptBuckets(trx, window)
  const changed = new Set<number>()
  const tables = [usageTable(catalog, window), COST_TABLE]
  for (const part of listParts(window))
    for (const table of tables) {
      const incoming = table.rows(part, series)
      const stored = await table.list(trx, part)
      await applyDifference(trx, { window: part, table, incoming, stored, keep, changed })
    }
  await replaceAssistantDays(trx, window, keep)
  await recordMalformed(trx, window)
  await markStale(trx, window.stream_id, changed)
}

const ROWS_AT_ONCE = 1_000

/** The window in whole buckets of about so many rows: what is made of a row need not outlive its part. */
function* listParts(window: ReportWindow): Generator<ReportWindow> {
  const usage = Map.groupBy(window.usage, ({ bucket_start }) => bucket_start)
  const cost = Map.groupBy(window.cost, ({ bucket_start }) => bucket_start)
  const starts = [...new Set([...usage.keys(), ...cost.keys()])].sort((a, b) => a - b)
  let { start } = window.range
  let part = { usage: [] as UsageBucket[], cost: [] as CostBucket[] }
  for (const at of starts) {
    if (part.usage.length + part.cost.length >= ROWS_AT_ONCE) {
      yield { ...window, ...part, range: { start, end: at } }
      start = at
      part = { usage: [], cost: [] }
    }
    part.usage.push(...(usage.get(at) ?? []))
    part.cost.push(...(cost.get(at) ?? []))
  }
  yield { ...window, ...part, range: { start, end: window.range.end } }
}

type Row = {
  readonly bucket_start: number
  readonly series_id: number
  /** The values that make a row differ, in column order. */
  readonly values: readonly Cell[]
  /** Written with the row, but no reason to rewrite it. */
  readonly extras: readonly Cell[]
}
type StoredRow = Row & {
  readonly grouping: string
  readonly observed_at: number
  readonly revision: number
}

type Table = {
  readonly name: 'usage_bucket' | 'cost_bucket'
  readonly values: readonly string[]
  readonly extras: readonly string[]
  rows(window: ReportWindow, series: SeriesIds): ReadonlyMap<string, Row>
  list(trx: Db, window: ReportWindow): Promise<StoredRow[]>
}

const USAGE_VALUES = [...TOKEN_CLASSES, 'reasoning_tokens', 'requests', 'unit', 'units'] as const

function usageTable(catalog: Catalog, { provider }: ReportWindow): Table {
  return {
    name: 'usage_bucket',
    values: USAGE_VALUES,
    extras: ['cost_nanos', 'price_rule', 'raw_json'],
    rows: (window, series) =>
      mergeTwins(window.usage.map((bucket) => usageRow(catalog, provider, bucket, series))),
    list: (trx, window) => listRows(trx, 'usage_bucket', USAGE_VALUES, window),
  }
}

const COST_TABLE: Table = {
  name: 'cost_bucket',
  values: ['amount_nanos', 'list_nanos', 'currency'],
  extras: ['raw_amount', 'raw_json'],
  rows: (window, series) => mergeTwins(window.cost.map((bucket) => costRow(bucket, series))),
  list: (trx, window) =>
    listRows(trx, 'cost_bucket', ['amount_nanos', 'list_nanos', 'currency'], window),
}

function usageRow(
  catalog: Catalog,
  provider: string,
  { bucket_start, dims, usage, raw_json }: UsageBucket,
  series: SeriesIds,
): Row {
  const priced = priceUsage(catalog, {
    provider,
    model: dims.model ?? '',
    at: bucket_start,
    service_tier: dims.service_tier || null,
    speed: dims.speed === 'fast' ? 'fast' : null,
    inference_geo: dims.inference_geo ?? null,
    context_window: contextWindow(dims.context_window),
    is_single_request: false,
    usage,
  })
  return {
    bucket_start,
    series_id: seriesId(series, dims),
    values: USAGE_VALUES.map((name) => usage[name]),
    extras: [priced.cost_nanos, priced.rule_id, raw_json ?? null],
  }
}

function costRow(bucket: CostBucket, series: SeriesIds): Row {
  return {
    bucket_start: bucket.bucket_start,
    series_id: seriesId(series, bucket.dims),
    values: [bucket.amount_nanos, bucket.list_nanos, bucket.currency],
    extras: [bucket.raw_amount, bucket.raw_json ?? null],
  }
}

/** Rows by their coordinates: two with the same ones are two parts of one sum. */
function mergeTwins(rows: readonly Row[]): Map<string, Row> {
  const merged = new Map<string, Row>()
  for (const row of rows) {
    const id = rowId(row)
    const twin = merged.get(id)
    merged.set(id, twin ? { ...twin, values: addValues(twin.values, row.values) } : row)
  }
  return merged
}

function addValues(a: readonly Cell[], b: readonly Cell[]): Cell[] {
  return a.map((value, i) => {
    const other = b[i] ?? null
    if (typeof value === 'bigint' && typeof other === 'bigint') return value + other
    if (typeof value === 'number' && typeof other === 'number') return value + other
    return value ?? other
  })
}

async function listRows(
  trx: Db,
  table: Table['name'],
  values: readonly string[],
  { stream_id, range }: ReportWindow,
): Promise<StoredRow[]> {
  const columns = values.map((name) =>
    name.endsWith('_nanos') ? sql`cast(${sql.ref(name)} as text)` : sql.ref(name),
  )
  const { rows } = await sql<Record<string, Cell>>`
    select bucket_start, series_id, observed_at, revision,
      (select grouping from series where series.id = series_id) as grouping,
      ${sql.join(columns.map((column, i) => sql`${column} as ${sql.ref(`v${i}`)}`))}
    from ${sql.table(table)}
    where stream_id = ${stream_id} and bucket_start >= ${range.start} and bucket_start < ${range.end}
    `.execute(trx)
  return rows.map((row) => ({
    bucket_start: Number(row['bucket_start']),
    series_id: Number(row['series_id']),
    grouping: String(row['grouping']),
    observed_at: Number(row['observed_at']),
    revision: Number(row['revision']),
    values: values.map((_, i) => row[`v${i}`] ?? null),
    extras: [],
  }))
}

type Difference = {
  readonly window: ReportWindow
  readonly table: Table
  readonly incoming: ReadonlyMap<string, Row>
  readonly stored: readonly StoredRow[]
  readonly keep: (bucket_start: number) => boolean
  readonly changed: Set<number>
}

async function applyDifference(trx: Db, difference: Difference): Promise<void> {
  const { window, incoming, stored, keep, changed } = difference
  const before = new Map(stored.map((row) => [rowId(row), row]))
  const written: Change[] = []
  for (const [id, after] of incoming) {
    const known = before.get(id)
    if (!known || valuesText(known) !== valuesText(after)) written.push({ before: known, after })
  }
  const filled = new Set([...incoming.values()].map((row) => row.bucket_start))
  // A bucket never holds two groupings: they are two accounts of the same money.
  const isReplaced = ({ bucket_start, grouping }: StoredRow) =>
    !keep(bucket_start) || (grouping !== window.grouping && filled.has(bucket_start))
  const removed = [...before].flatMap(([id, row]) =>
    incoming.has(id) || !isReplaced(row) ? [] : [row],
  )
  for (const { bucket_start } of [...written.map(({ after }) => after), ...removed])
    changed.add(bucket_start)
  await keepRevisions(trx, window, difference.table.values, [
    ...written,
    ...removed.map((row) => ({ before: row, after: undefined })),
  ])
  await writeRows(trx, difference, written)
  await deleteRows(trx, difference, removed)
}

type Change = { readonly before: StoredRow | undefined; readonly after: Row }

async function writeRows(
  trx: Db,
  { window, table }: Difference,
  changes: readonly Change[],
): Promise<void> {
  const { stream_id, bucket_ms, observed_at } = window
  const fixed = ['stream_id', 'bucket_start', 'series_id']
  const updated = ['bucket_ms', ...table.values, ...table.extras, 'observed_at', 'revision']
  const assignments = updated.map((name) => sql`${sql.ref(name)} = ${sql.ref(`excluded.${name}`)}`)
  await insertRows(
    trx,
    table.name,
    [...fixed, ...updated],
    changes.map(({ before, after: { bucket_start, series_id, values, extras } }) => {
      const head: Cell[] = [stream_id, bucket_start, series_id, bucket_ms]
      return head.concat(values, extras, observed_at, (before?.revision ?? 0) + 1)
    }),
    sql`on conflict (stream_id, bucket_start, series_id) do update set ${sql.join(assignments)}`,
  )
}

async function deleteRows(
  trx: Db,
  { window, table }: Difference,
  rows: readonly Row[],
): Promise<void> {
  if (rows.length === 0) return
  const keys = JSON.stringify(rows.map((row) => [row.bucket_start, row.series_id]))
  await sql`
    delete from ${sql.table(table.name)} where stream_id = ${window.stream_id}
      and (bucket_start, series_id) in (select value ->> 0, value ->> 1 from json_each(${keys}))
    `.execute(trx)
}

function rowId({ bucket_start, series_id }: Row): string {
  return `${bucket_start}:${series_id}`
}

function valuesText({ values }: Row): string {
  return values.map(String).join('|')
}

function seriesId(series: SeriesIds, dims: Dimensions): number {
  const id = series.get(dims)
  if (id === undefined) throw new Error('a series was not interned')
  return id
}

function contextWindow(text: string | undefined): '0-200k' | '200k-1M' | null {
  return text === '0-200k' || text === '200k-1M' ? text : null
}

import { type RawBuilder, sql } from 'kysely'
import { floorTo, HOUR_MS } from '../clock.ts'
import type { Db } from '../store/schema.ts'
import type { Coverage } from './coverage.ts'
import {
  addGroup,
  type GroupBy,
  type Groups,
  isTimeGroup,
  type SpendQuery,
  timeKey,
} from './spend-query.ts'
import type { Sums } from './sums.ts'

/** Days (or hours) of one connection that are read from one view. */
export type Segment = {
  readonly coverage: Coverage
  readonly view: 'billed' | 'metered'
  readonly start: number
  readonly end: number
  readonly is_hourly: boolean
}

/** The dimensions of provider reports and their columns; only `model` is in the coarse rollup. */
const COLUMNS: Readonly<Record<string, string>> = {
  model: 'model',
  provider_key: 'api_key',
  workspace: 'workspace',
  user: 'user',
}

type SumRow = Readonly<Record<string, string | number | null>>

export async function sumSegment(db: Db, query: SpendQuery, segment: Segment): Promise<Groups> {
  const rows = await (segment.is_hourly ? sumHours : sumDays)(db, query, segment)
  const groups: Groups = new Map()
  for (const row of rows)
    addGroup(groups, {
      keys: query.group_by.map((group, i) => keyOf(group, row[`g${i}`], segment)),
      sums: sumsOf(row, segment.view),
      entry_providers: new Set(),
    })
  return groups
}

async function sumDays(db: Db, query: SpendQuery, segment: Segment): Promise<SumRow[]> {
  const names = [...query.group_by, ...Object.keys(query.filter)]
  const is_fine = names.some((name) => name !== 'model' && name in COLUMNS)
  const { rows } = await sql<SumRow>`
    select ${groupColumns(query)} ${DAY_SUMS}
    from ${sql.table(is_fine ? 'rollup_day' : 'rollup_model_day')}
    where day >= ${segment.start} and day < ${segment.end}
      and connection_id = ${segment.coverage.connection_id} ${conditions(query)}
    ${groupClause(query)}`.execute(db)
  return rows
}

const DAY_SUMS = sql`
  sum(requests) as requests, sum(uncounted_rows) as uncounted_rows,
  sum(input_tokens) as input_tokens, sum(cached_input_tokens) as cached_input_tokens,
  sum(cache_write_tokens) as cache_write_tokens, sum(output_tokens) as output_tokens,
  cast(sum(billed_nanos) as text) as billed_nanos,
  cast(sum(allocated_nanos) as text) as allocated_nanos,
  cast(sum(metered_nanos) as text) as metered_nanos,
  cast(sum(byok_nanos) as text) as byok_nanos,
  sum(unpriced_requests) as unpriced_requests, sum(other_currency_rows) as other_currency_rows`

/** Hours come from the usage buckets themselves; a bucket longer than an hour counts where it starts. */
async function sumHours(db: Db, query: SpendQuery, segment: Segment): Promise<SumRow[]> {
  const { coverage, end } = segment
  const start = floorTo(segment.start, HOUR_MS)
  const { rows } = await sql<SumRow>`
    select ${groupColumns(query)} ${HOUR_SUMS}
    from (
      select bucket.*, bucket_start as day,
        coalesce(series.model, '') as model, coalesce(series.api_key, '') as api_key,
        coalesce(series.workspace, '') as workspace, coalesce(series.user, '') as user
      from usage_bucket bucket join series on series.id = bucket.series_id
      where bucket.stream_id in (
          select id from sync_stream where connection_id = ${coverage.connection_id})
        and bucket_start >= ${start} and bucket_start < ${end}
        and (bucket_ms <= ${HOUR_MS} or bucket_start + bucket_ms <= ${end}))
    where true ${conditions(query)}
    ${groupClause(query)}`.execute(db)
  return rows
}

const HOUR_SUMS = sql`
  sum(coalesce(requests, 0)) as requests, sum(requests is null) as uncounted_rows,
  sum(uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
    + input_audio_tokens + input_image_tokens) as input_tokens,
  sum(cache_read_tokens) as cached_input_tokens,
  sum(cache_write_5m_tokens + cache_write_1h_tokens) as cache_write_tokens,
  sum(output_tokens + output_audio_tokens + output_image_tokens) as output_tokens,
  '0' as billed_nanos, '0' as allocated_nanos, '0' as byok_nanos,
  cast(sum(coalesce(cost_nanos, 0)) as text) as metered_nanos,
  sum(iif(cost_nanos is null, max(coalesce(requests, 1), 1), 0)) as unpriced_requests,
  0 as other_currency_rows`

function columnOf(group: GroupBy): RawBuilder<unknown> | undefined {
  if (isTimeGroup(group)) return sql.ref('day')
  const column = COLUMNS[group]
  return column ? sql.ref(column) : undefined
}

function groupColumns({ group_by }: SpendQuery): RawBuilder<unknown> {
  const columns = group_by.flatMap((group, i) => {
    const column = columnOf(group)
    return column ? [sql`${column} as ${sql.ref(`g${i}`)},`] : []
  })
  return columns.length > 0 ? sql.join(columns, sql` `) : sql``
}

function groupClause({ group_by }: SpendQuery): RawBuilder<unknown> {
  const columns = group_by.flatMap((group) => columnOf(group) ?? [])
  return columns.length > 0 ? sql`group by ${sql.join(columns)}` : sql`having count(*) > 0`
}

function conditions({ filter }: SpendQuery): RawBuilder<unknown> {
  const all = Object.entries(COLUMNS).flatMap(([name, column]) => {
    const wanted = filter[name as GroupBy]
    if (!wanted) return []
    return [sql`and ${sql.ref(column)} in (select value from json_each(${JSON.stringify(wanted)}))`]
  })
  return all.length > 0 ? sql.join(all, sql` `) : sql``
}

function keyOf(group: GroupBy, value: SumRow[string] | undefined, segment: Segment): string {
  if (group === 'provider') return segment.coverage.provider
  if (group === 'source') return 'admin_api'
  if (isTimeGroup(group)) return timeKey(group, Number(value))
  return String(value ?? '')
}

function sumsOf(row: SumRow, view: Segment['view']): Sums {
  const nanos = (name: string, of: Segment['view']) => (of === view ? BigInt(row[name] ?? 0) : 0n)
  const count = (name: string) => Number(row[name] ?? 0)
  return {
    billed_nanos: nanos('billed_nanos', 'billed'),
    allocated_nanos: nanos('allocated_nanos', 'billed'),
    byok_nanos: nanos('byok_nanos', 'billed'),
    metered_nanos: nanos('metered_nanos', 'metered'),
    requests: count('requests'),
    uncounted_rows: count('uncounted_rows'),
    input_tokens: count('input_tokens'),
    cached_input_tokens: count('cached_input_tokens'),
    cache_write_tokens: count('cache_write_tokens'),
    output_tokens: count('output_tokens'),
    unpriced_requests: view === 'metered' ? count('unpriced_requests') : 0,
    other_currency_rows: view === 'billed' ? count('other_currency_rows') : 0,
  }
}

import { type RawBuilder, sql } from 'kysely'
import { HOUR_MS } from '../clock.ts'
import { QUARTER_MS } from '../period.ts'
import { GRACE_MS, PRECEDENCE } from './counting.ts'
import { ENTRY_SUMS, SUMS_OF_ENTRIES } from './entry-rollup.ts'

/** Columns of a cell, besides its quarter and its sums; `''` is none. */
export const CELL_COLUMNS = [
  'provider',
  'model',
  'client',
  'source',
  'billing_mode',
  'session_id',
  'user',
  'project',
  'wrapped_key',
  'workspace',
  'tags',
] as const

type CellColumn = (typeof CELL_COLUMNS)[number]

const COARSE: readonly string[] = ['provider', 'model', 'client', 'source', 'billing_mode']

export type CellQuery = {
  readonly start_at: number
  readonly end_at: number
  /** Columns that are grouped or filtered by. */
  readonly columns: readonly CellColumn[]
  readonly needs_quarter: boolean
  /** Absent: both. */
  readonly billing_mode?: 'api' | 'subscription'
  readonly now: number
  /** Leaves out the sessions that lie wholly within the period. */
  readonly is_cut_only?: boolean
}

/**
 * Everything that entries add to a period, each request once, as a table of sums: whole quarters of an
 * hour from the rollups, what the period cuts from the entries, and sessions of which only metrics tell.
 */
export function entryCells(query: CellQuery): RawBuilder<unknown> {
  const first = Math.ceil(query.start_at / QUARTER_MS)
  const end = Math.floor(query.end_at / QUARTER_MS)
  const parts = [fallbackCells(query)]
  if (first >= end) parts.push(cutCells(query, query.start_at, query.end_at))
  else {
    parts.push(wholeCells(query, first, end))
    if (query.start_at < first * QUARTER_MS)
      parts.push(cutCells(query, query.start_at, first * QUARTER_MS))
    if (query.end_at > end * QUARTER_MS) parts.push(cutCells(query, end * QUARTER_MS, query.end_at))
  }
  return sql`(${sql.join(parts, sql` union all `)})`
}

/**
 * The ids of the costliest sessions as a query; unknown ones are one session, `''`. The sums of most of
 * them are read in the order of one index, so that nothing large is sorted.
 */
export function costliestSessions(query: CellQuery, limit: number): RawBuilder<unknown> {
  const first = Math.ceil(query.start_at / QUARTER_MS)
  const end = Math.floor(query.end_at / QUARTER_MS)
  const cut = entryCells({ ...query, columns: ['session_id'], is_cut_only: true })
  // The plus keeps another index from being taken for the stretch.
  return sql`
    select session_id from (
      select session_id, sum(metered_nanos) as nanos from rollup_session
      where +first_quarter >= ${first} and +last_quarter < ${end} ${ofMode(query)}
      group by session_id
      union all select session_id, metered_nanos from ${cut})
    group by session_id order by sum(nanos) desc, session_id limit ${limit}`
}

function wholeCells(query: CellQuery, first: number, end: number): RawBuilder<unknown> {
  const is_coarse = query.columns.every((name) => COARSE.includes(name))
  if (is_coarse)
    return sql`
      select quarter, ${dims(query, (name) => sql.ref(name))}, ${sums('rollup_entry')}
      from rollup_entry where quarter >= ${first} and quarter < ${end} ${ofMode(query)}`
  const cell = dims(query, (name) => sql.ref(`cell.${name}`))
  const by_quarter = (where: RawBuilder<unknown>) => sql`
    select part.quarter, ${cell}, ${sums('part')}
    from rollup_session cell join rollup_session_quarter part on part.cell_id = cell.id
    where last_quarter >= ${first} and first_quarter < ${end}
      and part.quarter >= ${first} and part.quarter < ${end} ${ofMode(query)} ${where}`
  if (query.needs_quarter) return by_quarter(sql``)
  const cut = by_quarter(sql`and (first_quarter < ${first} or last_quarter >= ${end})`)
  if (query.is_cut_only) return cut
  // Most sessions lie within the period: their sums are at hand.
  return sql`
    select first_quarter as quarter, ${cell}, ${sums('cell')} from rollup_session cell
    where first_quarter >= ${first} and last_quarter < ${end} ${ofMode(query)}
    union all ${cut}`
}

function cutCells(query: CellQuery, start_at: number, end_at: number): RawBuilder<unknown> {
  return sql`
    select occurred_at / ${sql.lit(QUARTER_MS)} as quarter,
      ${dims(query, (name) => sql`coalesce(${sql.ref(name)}, '')`)}, ${SUMS_OF_ENTRIES}
    from ledger_entry
    where occurred_at >= ${start_at} and occurred_at < ${end_at} and superseded_by is null
      ${ofMode(query)}
    group by ${sql.join([sql`1`, ...query.columns.map((_, i) => sql.lit(i + 2))])}`
}

/** Sums of metrics, except where a better source tells of the session, or of the sender's hours. */
function fallbackCells(query: CellQuery): RawBuilder<unknown> {
  return sql`
    select occurred_at / ${sql.lit(QUARTER_MS)} as quarter,
      ${dims(query, fallbackColumn)},
      1 as entries, 0 as requests, 1 as uncounted_rows, ${FALLBACK_TOKENS},
      coalesce(cost_nanos, 0) as metered_nanos, cost_nanos is null as unpriced_requests
    from fallback_entry fallback
    where occurred_at >= ${query.start_at} and occurred_at < ${query.end_at}
      and ${countsSince(query.now)} ${ofMode(query)} and not ${IS_TOLD_BETTER}`
}

/** Metrics never came through the proxy. */
export function fallbackColumn(name: CellColumn): RawBuilder<unknown> {
  if (name === 'source') return sql`'otlp'`
  if (name === 'wrapped_key' || name === 'workspace') return sql`''`
  return sql`coalesce(${sql.ref(name)}, '')`
}

const FALLBACK_TOKENS = sql`
  uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens as input_tokens,
  cache_read_tokens as cached_input_tokens, cache_write_5m_tokens as cache_write_tokens,
  output_tokens`

const HOUR = sql.lit(HOUR_MS)
const GRACE = sql.lit(GRACE_MS)

/** After its grace; at once where it took the place of a lower source. */
export function countsSince(now: number): RawBuilder<unknown> {
  return sql`(counts_from <= ${now} or exists (select 1 from telling
    where telling.client = fallback.client and telling.scope = 'session:' || fallback.session_id
      and telling.precedence < ${sql.lit(PRECEDENCE.otlp_metrics)}))`
}

/**
 * Whether a better source told of what a row `fallback` of `fallback_entry` sums up. What names no
 * session yields to whatever the sender told in its hours, and to this machine's logs of the client.
 */
export const IS_TOLD_BETTER = sql<boolean>`(
  (session_id is not null and exists (select 1 from telling where telling.client = fallback.client
    and telling.scope = 'session:' || fallback.session_id
    and telling.precedence > ${sql.lit(PRECEDENCE.otlp_metrics)}))
  or (session_id is null and exists (
    with recursive hour (at) as (
      select (started_at - ${GRACE}) / ${HOUR}
      union all select at + 1 from hour where at < (occurred_at + ${GRACE}) / ${HOUR})
    select 1 from hour join telling on telling.client = fallback.client
      and telling.scope in (fallback.origin || ':' || hour.at, 'local:' || hour.at))))`

/** As a literal: an index holds the few rows that seats pay for. */
function ofMode({ billing_mode }: CellQuery): RawBuilder<unknown> {
  return billing_mode ? sql`and billing_mode = ${sql.lit(billing_mode)}` : sql``
}

function dims(
  { columns }: CellQuery,
  of: (name: CellColumn) => RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql.join(columns.map((name) => sql`${of(name)} as ${sql.ref(name)}`))
}

function sums(table: string): RawBuilder<unknown> {
  return sql.join(ENTRY_SUMS.map((name) => sql.ref(`${table}.${name}`)))
}

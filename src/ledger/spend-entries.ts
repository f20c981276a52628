import { type RawBuilder, sql } from 'kysely'
import { createDateOf, QUARTER_MS } from '../period.ts'
import type { Db } from '../store/schema.ts'
import {
  CELL_COLUMNS,
  type CellQuery,
  costliestSessions,
  entryCells,
  fallbackColumn,
  IS_TOLD_BETTER,
} from './entry-cells.ts'
import { IS_CURRENT } from './replacement.ts'
import {
  addGroup,
  type GroupBy,
  type Groups,
  isTimeGroup,
  type SpendQuery,
  timeKey,
} from './spend-query.ts'
import { addSums, noSums, type Sums, subtractSums } from './sums.ts'

/** From this instant on, and before `until` if it is given, a provider's own reports speak for it. */
export type Spoken = {
  readonly provider: string
  readonly from: number
  readonly until: number | null
}

type CellColumn = (typeof CELL_COLUMNS)[number]

const COLUMNS: Readonly<Record<string, CellColumn>> = {
  provider: 'provider',
  model: 'model',
  session: 'session_id',
  client: 'client',
  user: 'user',
  project: 'project',
  source: 'source',
  wrapped_key: 'wrapped_key',
  workspace: 'workspace',
}

type EntryRow = Readonly<Record<string, string | number | null>>

type EntryQuery = {
  readonly spoken: readonly Spoken[]
  readonly billing_mode: 'api' | 'subscription'
  readonly now: number
}

/** What entries add up to. Of very many groups the lesser ones are not told apart: `rest`. */
export type EntrySpend = { readonly groups: Groups; readonly rest: Sums | undefined }

/** Sessions can be very many, and no answer shows more of them than a third of this. */
const RANKED_MAX = 300

/** Sums the entries of the period, except those that a provider's own reports speak for. */
export async function sumEntries(db: Db, query: SpendQuery, of: EntryQuery): Promise<EntrySpend> {
  const groups: Groups = new Map()
  if (asksForReportsOnly(query)) return { groups, rest: undefined }
  const sessions = await rankSessions(db, query, of)
  const dateOf = createDateOf(query.period.zone)
  const told = sessions && [...sessions.slice(0, RANKED_MAX), ...(query.sessions ?? [])]
  for (const row of await listSums(db, query, of, told))
    addGroup(groups, {
      keys: query.group_by.map((group, i) => keyOf(group, row[`g${i}`], dateOf)),
      sums: sumsOf(row),
      entry_providers: new Set([String(row['provider'])]),
    })
  const has_rest = sessions !== undefined && sessions.length > RANKED_MAX
  return { groups, rest: has_rest ? await sumRest(db, query, of, groups) : undefined }
}

/** The costliest sessions, where the question is about all of them; undefined where it is not. */
async function rankSessions(
  db: Db,
  query: SpendQuery,
  of: EntryQuery,
): Promise<string[] | undefined> {
  const is_ranked = query.group_by.includes('session') && !query.group_by.some(isTimeGroup)
  if (!is_ranked || Object.keys(query.filter).length > 0 || of.spoken.length > 0) return undefined
  const ranked = costliestSessions(cellQuery(query, of), RANKED_MAX + 1)
  const { rows } = await sql<{ session_id: string }>`${ranked}`.execute(db)
  return rows.map(({ session_id }) => session_id)
}

async function listSums(
  db: Db,
  query: SpendQuery,
  of: EntryQuery,
  sessions: readonly string[] | undefined,
): Promise<EntryRow[]> {
  const columns = query.group_by.map((group, i) => sql`${columnOf(group)} as ${sql.ref(`g${i}`)}`)
  const of_sessions = sessions
    ? sql`and session_id in (select value from json_each(${JSON.stringify(sessions)}))`
    : sql``
  const { rows } = await sql<EntryRow>`
    select ${sql.join([...columns, sql.ref('provider')])}, ${CELL_SUMS}
    from ${entryCells(cellQuery(query, of))}
    where true ${conditions(query)} ${unspoken(of.spoken)} ${of_sessions}
    group by ${sql.join([...columns, null].map((_, i) => sql.lit(i + 1)))}`.execute(db)
  return rows
}

async function sumRest(db: Db, query: SpendQuery, of: EntryQuery, told: Groups): Promise<Sums> {
  const all = await sumEntries(db, { ...query, group_by: [] }, of)
  const rest = noSums()
  for (const { sums } of all.groups.values()) addSums(rest, sums)
  for (const { sums } of told.values()) subtractSums(rest, sums)
  return rest
}

/** How many requests telemetry saw of the providers that were read from their own reports. */
export async function sumExcludedEntries(
  db: Db,
  query: SpendQuery,
  of: EntryQuery,
): Promise<{ provider: string; requests: number }[]> {
  if (of.spoken.length === 0) return []
  const plain = { ...query, group_by: [], filter: {} }
  const { rows } = await sql<{ provider: string; requests: number }>`
    select provider, sum(requests) as requests from ${entryCells(cellQuery(plain, of))}
    where not (true ${unspoken(of.spoken)})
    group by provider having sum(requests) > 0`.execute(db)
  return rows
}

/** What lower sources told of requests that are counted from a better one: shown, in no total. */
export async function sumSuperseded(
  db: Db,
  query: SpendQuery,
): Promise<{ entries: number; nanos: bigint }> {
  const { period } = query
  if (asksForReportsOnly(query)) return { entries: 0, nanos: 0n }
  const range = sql`occurred_at >= ${period.start_at} and occurred_at < ${period.end_at}`
  const columns = CELL_COLUMNS.map((name) => sql.ref(name))
  const fallback_columns = CELL_COLUMNS.map(
    (name) => sql`${fallbackColumn(name)} as ${sql.ref(name)}`,
  )
  const { rows } = await sql<{ entries: number; nanos: string }>`
    select count(*) as entries, cast(coalesce(sum(cost_nanos), 0) as text) as nanos from (
      select ${sql.join(columns)}, cost_nanos from ledger_entry
      where superseded_by is not null and ${range} and ${IS_CURRENT}
      union all
      select ${sql.join(fallback_columns)}, cost_nanos from fallback_entry fallback
      where ${range} and ${IS_TOLD_BETTER})
    where true ${conditions(query)}`.execute(db)
  return { entries: rows[0]?.entries ?? 0, nanos: BigInt(rows[0]?.nanos ?? 0) }
}

const CELL_SUMS = sql`
  sum(requests) as requests, sum(uncounted_rows) as uncounted_rows,
  sum(input_tokens) as input_tokens, sum(cached_input_tokens) as cached_input_tokens,
  sum(cache_write_tokens) as cache_write_tokens, sum(output_tokens) as output_tokens,
  cast(sum(metered_nanos) as text) as nanos, sum(unpriced_requests) as unpriced_requests`

function cellQuery({ period, group_by, filter }: SpendQuery, of: EntryQuery): CellQuery {
  const names = [...group_by, ...Object.keys(filter)]
  const columns = names.flatMap((name) =>
    name.startsWith('tag:') ? (['tags'] as const) : (COLUMNS[name] ?? []),
  )
  return {
    start_at: period.start_at,
    end_at: period.end_at,
    columns: [...new Set<CellColumn>(['provider', ...columns])],
    needs_quarter: of.spoken.length > 0 || group_by.some(isTimeGroup),
    billing_mode: of.billing_mode,
    now: of.now,
  }
}

function unspoken(spoken: readonly Spoken[]): RawBuilder<unknown> {
  const all = spoken.map(
    ({ provider, from, until }) =>
      sql`and not (provider = ${provider} and quarter >= ${Math.floor(from / QUARTER_MS)}
        ${until === null ? sql`` : sql`and quarter < ${Math.ceil(until / QUARTER_MS)}`})`,
  )
  return all.length > 0 ? sql.join(all, sql` `) : sql``
}

/** Provider keys are known only to the providers' reports. */
function asksForReportsOnly({ filter }: SpendQuery): boolean {
  return Boolean(filter.provider_key)
}

function conditions({ filter }: SpendQuery): RawBuilder<unknown> {
  const all = Object.entries(filter).map(([group, wanted]) => {
    const list = JSON.stringify(wanted)
    return sql`and coalesce(${columnOf(group as GroupBy)}, '') in (select value from json_each(${list}))`
  })
  return all.length > 0 ? sql.join(all, sql` `) : sql``
}

function columnOf(group: GroupBy): RawBuilder<unknown> {
  if (isTimeGroup(group)) return sql`quarter`
  if (group.startsWith('tag:')) return sql`json_extract(tags, ${tagPath(group)})`
  const column = COLUMNS[group]
  return column ? sql.ref(column) : sql`''`
}

function tagPath(group: string): string {
  return `$.${JSON.stringify(group.slice('tag:'.length))}`
}

/** Times are folded here: quarters of an hour are whole in every zone, days are not. */
function keyOf(
  group: GroupBy,
  value: EntryRow[string] | undefined,
  dateOf: (at: number) => number,
): string {
  if (!isTimeGroup(group)) return String(value ?? '')
  const at = Number(value) * QUARTER_MS
  return timeKey(group, group === 'hour' ? at : dateOf(at))
}

function sumsOf(row: EntryRow): Sums {
  const count = (name: string) => Number(row[name] ?? 0)
  return {
    ...noSums(),
    metered_nanos: BigInt(row['nanos'] ?? 0),
    requests: count('requests'),
    uncounted_rows: count('uncounted_rows'),
    input_tokens: count('input_tokens'),
    cached_input_tokens: count('cached_input_tokens'),
    cache_write_tokens: count('cache_write_tokens'),
    output_tokens: count('output_tokens'),
    unpriced_requests: count('unpriced_requests'),
  }
}

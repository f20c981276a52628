import { type RawBuilder, sql } from 'kysely'
import { dateOf, QUARTER_MS } from '../period.ts'
import type { Db } from '../store/schema.ts'
import {
  addGroup,
  type GroupBy,
  type Groups,
  isTimeGroup,
  type SpendQuery,
  timeKey,
} from './spend-query.ts'
import { noSums, type Sums } from './sums.ts'

/** From this instant on a provider's own reports speak for it. */
export type Spoken = { readonly provider: string; readonly from: number }

const COLUMNS: Readonly<Record<string, string>> = {
  provider: 'provider',
  model: 'model',
  session: 'session_id',
  client: 'client',
  user: 'user',
  source: 'source',
  wrapped_key: 'wrapped_key',
  workspace: 'workspace',
}

type EntryRow = Readonly<Record<string, string | number | null>>

/** Sums the ledger entries of the period, except those that a provider's own reports speak for. */
export async function sumEntries(
  db: Db,
  query: SpendQuery,
  spoken: readonly Spoken[],
): Promise<Groups> {
  const groups: Groups = new Map()
  if (asksForReportsOnly(query)) return groups
  const columns = query.group_by.map((group, i) => sql`${columnOf(group)} as ${sql.ref(`g${i}`)}`)
  const { rows } = await sql<EntryRow>`
    select provider, ${columns.length > 0 ? sql`${sql.join(columns)},` : sql``} ${ENTRY_SUMS}
    from ledger_entry
    where ${inPeriod(query)} ${conditions(query)} ${unspoken(spoken)}
    group by ${sql.join([sql.ref('provider'), ...query.group_by.map(columnOf)])}`.execute(db)
  for (const row of rows)
    addGroup(groups, {
      keys: query.group_by.map((group, i) => keyOf(group, row[`g${i}`], query)),
      sums: sumsOf(row),
      entry_providers: new Set([String(row['provider'])]),
    })
  return groups
}

/** How many requests telemetry saw of the providers that were read from their own reports. */
export async function sumExcludedEntries(
  db: Db,
  query: SpendQuery,
  spoken: readonly Spoken[],
): Promise<{ provider: string; requests: number }[]> {
  if (spoken.length === 0) return []
  const { rows } = await sql<{ provider: string; requests: number }>`
    select provider, count(*) as requests from ledger_entry
    where ${inPeriod(query)} and not (true ${unspoken(spoken)}) group by provider`.execute(db)
  return rows
}

const ENTRY_SUMS = sql`
  count(*) as requests,
  sum(uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
    + input_audio_tokens + input_image_tokens) as input_tokens,
  sum(cache_read_tokens) as cached_input_tokens,
  sum(cache_write_5m_tokens + cache_write_1h_tokens) as cache_write_tokens,
  sum(output_tokens + output_audio_tokens + output_image_tokens) as output_tokens,
  cast(sum(coalesce(cost_nanos, 0)) as text) as metered_nanos,
  sum(cost_nanos is null) as unpriced_requests`

function inPeriod({ period }: SpendQuery): RawBuilder<unknown> {
  return sql`occurred_at >= ${period.start_at} and occurred_at < ${period.end_at}`
}

function unspoken(spoken: readonly Spoken[]): RawBuilder<unknown> {
  const all = spoken.map(
    ({ provider, from }) => sql`and not (provider = ${provider} and occurred_at >= ${from})`,
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
  if (isTimeGroup(group)) return sql`occurred_at / ${sql.lit(QUARTER_MS)}`
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
  { period }: SpendQuery,
): string {
  if (!isTimeGroup(group)) return String(value ?? '')
  const at = Number(value) * QUARTER_MS
  return timeKey(group, group === 'hour' ? at : dateOf(at, period.zone))
}

function sumsOf(row: EntryRow): Sums {
  const count = (name: string) => Number(row[name] ?? 0)
  return {
    ...noSums(),
    metered_nanos: BigInt(row['metered_nanos'] ?? 0),
    requests: count('requests'),
    input_tokens: count('input_tokens'),
    cached_input_tokens: count('cached_input_tokens'),
    cache_write_tokens: count('cache_write_tokens'),
    output_tokens: count('output_tokens'),
    unpriced_requests: count('unpriced_requests'),
  }
}

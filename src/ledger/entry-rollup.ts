import { type RawBuilder, sql } from 'kysely'
import { QUARTER_MS } from '../period.ts'
import { type Cell, insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import { TOKEN_CLASSES, type Usage } from '../usage.ts'
import type { UsageEvent } from './event.ts'

/** What a rollup needs to know of an entry. */
export type Countable = Pick<
  UsageEvent,
  | 'client'
  | 'session_id'
  | 'provider'
  | 'model'
  | 'user'
  | 'project'
  | 'wrapped_key'
  | 'workspace'
  | 'source'
  | 'billing_mode'
> & {
  readonly tags: string
  readonly occurred_at: number
  readonly usage: Usage
  readonly cost_nanos: bigint | null
}

const COARSE = ['provider', 'model', 'client', 'source', 'billing_mode']
const FINE = [
  'session_id',
  'client',
  'provider',
  'model',
  'user',
  'project',
  'wrapped_key',
  'workspace',
  'source',
  'billing_mode',
  'tags',
]
export const ENTRY_SUMS = [
  'entries',
  'requests',
  'uncounted_rows',
  'input_tokens',
  'cached_input_tokens',
  'cache_write_tokens',
  'output_tokens',
  'metered_nanos',
  'unpriced_requests',
] as const

type Sums = bigint[]
type Cells = Map<string, { readonly dims: readonly Cell[]; readonly sums: Sums }>

/** The same sums in SQL, of entries that may come from anywhere with the ledger's columns. */
export const SUMS_OF_ENTRIES = sql`
  count(*) as entries,
  sum(coalesce(requests, 1)) as requests,
  sum(requests is null) as uncounted_rows,
  sum(uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
    + input_audio_tokens + input_image_tokens) as input_tokens,
  sum(cache_read_tokens) as cached_input_tokens,
  sum(cache_write_5m_tokens + cache_write_1h_tokens) as cache_write_tokens,
  sum(output_tokens + output_audio_tokens + output_image_tokens) as output_tokens,
  sum(coalesce(cost_nanos, 0)) as metered_nanos,
  sum(iif(cost_nanos is null, coalesce(requests, 1), 0)) as unpriced_requests`

/** Adds entries that came to count; with `sign` −1 takes those away that no longer do. */
export async function addToRollups(
  trx: Db,
  entries: readonly Countable[],
  sign: 1n | -1n,
): Promise<void> {
  if (entries.length === 0) return
  const coarse: Cells = new Map()
  const fine: Cells = new Map()
  for (const entry of entries) {
    const quarter = Math.floor(entry.occurred_at / QUARTER_MS)
    const sums = sumsOf(entry).map((value) => value * sign)
    addCell(coarse, [quarter, ...COARSE.map((name) => dimOf(entry, name))], sums)
    addCell(fine, [quarter, ...FINE.map((name) => dimOf(entry, name))], sums)
  }
  await insertRows(
    trx,
    'rollup_entry',
    ['quarter', ...COARSE, ...ENTRY_SUMS],
    rowsOf(coarse),
    sql`on conflict do update set ${ADD_SUMS}`,
  )
  await addSessionCells(trx, fine)
  if (sign < 0n) await removeEmptyCells(trx)
}

/** Booked entries as the rollups see them. */
export async function listCountables(trx: Db, ids: readonly string[]): Promise<Countable[]> {
  if (ids.length === 0) return []
  const tokens = TOKEN_CLASSES.map((name) => sql.ref(name))
  const { rows } = await sql<
    Usage & Omit<Countable, 'usage' | 'cost_nanos'> & { cost: string | null }
  >`
    select ${names(FINE)}, occurred_at, requests, ${sql.join(tokens)},
      cast(cost_nanos as text) as cost
    from ledger_entry where id in (select value from json_each(${JSON.stringify(ids)}))`.execute(
    trx,
  )
  return rows.map((row) => ({
    ...row,
    usage: row,
    cost_nanos: row.cost === null ? null : BigInt(row.cost),
  }))
}

const ADD_SUMS = sql.join(
  ENTRY_SUMS.map(
    (name) => sql`${sql.ref(name)} = ${sql.ref(name)} + ${sql.ref(`excluded.${name}`)}`,
  ),
)

async function addSessionCells(trx: Db, cells: Cells): Promise<void> {
  const rows = rowsOf(cells)
  await insertRows(
    trx,
    'rollup_session',
    ['first_quarter', 'last_quarter', ...FINE, ...ENTRY_SUMS],
    rows.map(([quarter = null, ...rest]) => [quarter, quarter, ...rest]),
    sql`on conflict do update set first_quarter = min(first_quarter, excluded.first_quarter),
      last_quarter = max(last_quarter, excluded.last_quarter), ${ADD_SUMS}`,
  )
  const list = JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
  const at = (i: number) => sql`told.value ->> ${sql.lit(i)}`
  await sql`
    insert into rollup_session_quarter (cell_id, quarter, ${names(ENTRY_SUMS)})
    select cell.id, ${at(0)}, ${sql.join(ENTRY_SUMS.map((_, i) => at(1 + FINE.length + i)))}
    from json_each(${list}) told join rollup_session cell
      on ${sql.join(
        FINE.map((name, i) => sql`${sql.ref(`cell.${name}`)} = ${at(1 + i)}`),
        sql` and `,
      )}
    where true on conflict do update set ${ADD_SUMS}`.execute(trx)
}

/** A cell without entries is no cell; a session's stretch is that of what is left of it. */
async function removeEmptyCells(trx: Db): Promise<void> {
  await sql`delete from rollup_entry where entries = 0`.execute(trx)
  const { rows } = await sql<{ cell_id: number }>`
    delete from rollup_session_quarter where entries = 0 returning cell_id`.execute(trx)
  if (rows.length === 0) return
  const ids = JSON.stringify(rows.map(({ cell_id }) => cell_id))
  await sql`delete from rollup_session where entries = 0`.execute(trx)
  await sql`
    update rollup_session set
      first_quarter = (select min(quarter) from rollup_session_quarter where cell_id = id),
      last_quarter = (select max(quarter) from rollup_session_quarter where cell_id = id)
    where id in (select value from json_each(${ids}))`.execute(trx)
}

/** Drops the rollups and makes them again from the entries that count. */
export async function rebuildEntryRollups(trx: Db): Promise<void> {
  await trx.deleteFrom('rollup_session_quarter').execute()
  await trx.deleteFrom('rollup_session').execute()
  await trx.deleteFrom('rollup_entry').execute()
  const quarter = sql`occurred_at / ${sql.lit(QUARTER_MS)}`
  const from = sql`from ledger_entry where superseded_by is null`
  const dims = (all: readonly string[]) =>
    sql.join(all.map((name) => sql`coalesce(${sql.ref(name)}, '') as ${sql.ref(name)}`))
  await sql`
    insert into rollup_entry (quarter, ${names(COARSE)}, ${names(ENTRY_SUMS)})
    select ${quarter}, ${dims(COARSE)}, ${SUMS_OF_ENTRIES} ${from}
    group by ${places(COARSE.length + 1)}`.execute(trx)
  await sql`
    insert into rollup_session (${names(FINE)}, first_quarter, last_quarter, ${names(ENTRY_SUMS)})
    select ${dims(FINE)}, min(${quarter}), max(${quarter}), ${SUMS_OF_ENTRIES} ${from}
    group by ${places(FINE.length)}`.execute(trx)
  await sql`
    insert into rollup_session_quarter (cell_id, quarter, ${names(ENTRY_SUMS)})
    select cell.id, told.quarter, ${sql.join(ENTRY_SUMS.map((name) => sql.ref(`told.${name}`)))}
    from (select ${dims(FINE)}, ${quarter} as quarter, ${SUMS_OF_ENTRIES} ${from}
        group by ${places(FINE.length + 1)}) told
      join rollup_session cell on ${sql.join(
        FINE.map((name) => sql`${sql.ref(`cell.${name}`)} = ${sql.ref(`told.${name}`)}`),
        sql` and `,
      )}`.execute(trx)
}

/** The first so many result columns. */
function places(count: number): RawBuilder<unknown> {
  return sql.join(Array.from({ length: count }, (_, i) => sql.lit(i + 1)))
}

function names(all: readonly string[]): RawBuilder<unknown> {
  return sql.join(all.map((name) => sql.ref(name)))
}

function addCell(cells: Cells, dims: readonly Cell[], sums: Sums): void {
  const key = JSON.stringify(dims)
  const known = cells.get(key)
  if (!known) cells.set(key, { dims, sums: [...sums] })
  else for (const [i, value] of sums.entries()) known.sums[i] = (known.sums[i] ?? 0n) + value
}

function rowsOf(cells: Cells): Cell[][] {
  return [...cells.values()].map(({ dims, sums }) => [...dims, ...sums])
}

function dimOf(entry: Countable, name: string): string {
  return (entry as unknown as Readonly<Record<string, string | null>>)[name] ?? ''
}

/** In the order of ENTRY_SUMS. */
function sumsOf({ usage, cost_nanos }: Countable): bigint[] {
  const writes = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
  const requests = usage.requests ?? 1
  const input =
    usage.uncached_input_tokens +
    usage.cache_read_tokens +
    writes +
    usage.input_audio_tokens +
    usage.input_image_tokens
  const output = usage.output_tokens + usage.output_audio_tokens + usage.output_image_tokens
  return [
    1n,
    BigInt(requests),
    usage.requests === null ? 1n : 0n,
    BigInt(input),
    BigInt(usage.cache_read_tokens),
    BigInt(writes),
    BigInt(output),
    cost_nanos ?? 0n,
    cost_nanos === null ? BigInt(requests) : 0n,
  ]
}

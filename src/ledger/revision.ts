import { sql } from 'kysely'
import { DAY_MS } from '../clock.ts'
import { type Cell, insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { ReportWindow } from './bucket.ts'

/** From so long after a bucket's end on, a change of it is a late adjustment. */
const LATE_MS = 3 * DAY_MS

type Row = {
  readonly bucket_start: number
  readonly series_id: number
  readonly values: readonly Cell[]
}

type Change = {
  readonly before: (Row & { readonly observed_at: number }) | undefined
  readonly after: Row | undefined
}

/**
 * A bucket that had ended when it was last read is history: what it said is kept. A row that comes
 * first days after its bucket had been read is a change of that history too.
 */
export async function keepRevisions(
  trx: Db,
  window: ReportWindow,
  names: readonly string[],
  changes: readonly Change[],
): Promise<void> {
  if (changes.length === 0) return
  const { stream_id, bucket_ms, observed_at } = window
  const covered = await readStretch(trx, stream_id)
  const isHistory = ({ before, after }: Change): boolean => {
    const end = (before ?? after)?.bucket_start ?? 0
    if (before) return before.observed_at >= end + bucket_ms
    const is_late = observed_at >= end + bucket_ms + LATE_MS
    return is_late && end >= covered.from && end + bucket_ms <= covered.until
  }
  await insertRows(
    trx,
    'bucket_revision',
    ['stream_id', 'bucket_start', 'series_id', 'before_json', 'after_json', 'observed_at'],
    changes.filter(isHistory).flatMap((change) => {
      const { before, after } = change
      const row = before ?? after
      if (!row) return []
      const text = (one: Row | undefined) => (one ? valuesJson(names, one) : null)
      const was = text(before) ?? 'null'
      return [[stream_id, row.bucket_start, row.series_id, was, text(after), observed_at]]
    }),
  )
}

async function readStretch(trx: Db, stream_id: number): Promise<{ from: number; until: number }> {
  const stream = await trx
    .selectFrom('sync_stream')
    .select(['covered_from', 'watermark'])
    .where('id', '=', stream_id)
    .executeTakeFirst()
  return { from: stream?.covered_from ?? Infinity, until: stream?.watermark ?? -Infinity }
}

/** By name, and money as text: `{"amount_nanos":"12","currency":"usd",…}`. */
function valuesJson(names: readonly string[], { values }: Row): string {
  const text = (value: Cell) => (typeof value === 'bigint' ? String(value) : value)
  return JSON.stringify(Object.fromEntries(names.map((name, i) => [name, text(values[i] ?? null)])))
}

export type LateAdjustment = {
  readonly provider: string
  readonly days: number
  /** What the changes add to the cost in all; zero when money only moved between rows. */
  readonly nanos: bigint
  readonly last_seen_at: number
}

/** Costs of the range that providers changed more than three days after their day had ended. */
export async function listLateAdjustments(
  db: Db,
  { start, end }: { start: number; end: number },
): Promise<LateAdjustment[]> {
  const { rows } = await sql<{ provider: string; days: number; nanos: string; seen: number }>`
    select connection.provider as provider, count(distinct bucket_start) as days,
      cast(sum(${usdOf('after_json')} - ${usdOf('before_json')}) as text) as nanos,
      max(observed_at) as seen
    from sync_stream
      cross join bucket_revision on stream_id = sync_stream.id
      join connection on connection.id = connection_id
    where view in ('cost', 'both')
      and bucket_start >= ${start} and bucket_start < ${end}
      and observed_at >= bucket_start + ${DAY_MS + LATE_MS}
      and coalesce(after_json ->> 'currency', before_json ->> 'currency') is not null
    group by 1 order by 1`.execute(db)
  return rows.map(({ provider, days, nanos, seen }) => {
    return { provider, days, nanos: BigInt(nanos), last_seen_at: seen }
  })
}

function usdOf(column: 'before_json' | 'after_json') {
  const json = sql.ref(column)
  return sql`iif(${json} ->> 'currency' = 'usd', cast(${json} ->> 'amount_nanos' as integer), 0)`
}

import { sql } from 'kysely'
import { HOUR_MS } from '../clock.ts'
import { sha256 } from '../ids.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import { projectFallbacks } from './fallback.ts'
import type { MetricSample } from './metric.ts'

const HOUR_NS = BigInt(HOUR_MS) * 1_000_000n

const SERIES_COLUMNS = [
  'hash',
  'client',
  'provider',
  'model',
  'session_id',
  'origin',
  'user',
  'project',
  'billing_mode',
  'tags',
  'telling',
  'measure',
  'formula',
  'is_cumulative',
  'counts_from_zero',
  'group_key',
]

/**
 * Keeps points of metrics, on disk with the caller's transaction. Of a cumulative series the highest
 * value of each start is kept, of a delta series each stretch once: the same points may come any number
 * of times and in any order. What sessions used by their metrics is projected anew.
 */
export async function recordMetrics(
  trx: Db,
  catalog: Catalog,
  samples: readonly MetricSample[],
  received_at: number,
): Promise<void> {
  if (samples.length === 0) return
  const series = new Map<string, MetricSample>()
  const rows = samples.map((sample) => {
    const hash = seriesHash(sample)
    series.set(hash, sample)
    return pointRow(sample, hash, received_at)
  })
  await insertRows(
    trx,
    'metric_series',
    SERIES_COLUMNS,
    [...series].map(([hash, sample]) => seriesRow(sample, hash)),
    sql`on conflict do nothing`,
  )
  await insertPoints(trx, rows)
  await projectFallbacks(trx, catalog, new Set([...series.values()].map(groupKey)))
}

type PointRow = readonly [string, bigint, bigint, bigint, number, number]

/** A cumulative series has one row for each start, wherever in time it was read. */
function pointRow(sample: MetricSample, hash: string, received_at: number): PointRow {
  const { is_cumulative, start_ns, time_ns, value, at } = sample
  return [hash, start_ns, is_cumulative ? 0n : time_ns, value, at, received_at]
}

async function insertPoints(trx: Db, rows: readonly PointRow[]): Promise<void> {
  const list = JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
  const integer = (i: number) => sql`cast(told.value ->> ${sql.lit(i)} as integer)`
  await sql`
    insert into metric_point
      (series_id, start_ns, time_ns, value, value_min, last_at, received_at)
    select series.id, ${integer(1)}, ${integer(2)}, ${integer(3)}, ${integer(3)}, ${integer(4)},
      ${integer(5)}
    from json_each(${list}) told join metric_series series on series.hash = told.value ->> 0
    where true on conflict do update set value = max(value, excluded.value),
      value_min = min(value_min, excluded.value_min), last_at = max(last_at, excluded.last_at),
      received_at = min(received_at, excluded.received_at)`.execute(trx)
}

function seriesHash(sample: MetricSample): string {
  const { series, client, measure, telling, is_cumulative } = sample
  return sha256(series, client, measure, telling, String(is_cumulative), groupKey(sample))
}

function seriesRow(sample: MetricSample, hash: string) {
  const { client, provider, model, session_id, origin, user, project, billing_mode } = sample
  return [
    hash,
    client,
    provider,
    model,
    session_id,
    origin,
    user,
    project,
    billing_mode,
    JSON.stringify(sample.tags),
    sample.telling,
    sample.measure,
    JSON.stringify(sample.formula),
    sample.is_cumulative ? 1 : 0,
    sample.counts_from_zero ? 1 : 0,
    groupKey(sample),
  ]
}

/** What is projected together: a session, or what a sender that names none used of a model. */
function groupKey(sample: MetricSample): string {
  const { client, session_id, provider, model, origin, user, project, billing_mode } = sample
  const who = session_id === null ? ['sender', origin, bucketOf(sample)] : ['session', session_id]
  return sha256(
    client,
    ...who,
    provider,
    model,
    JSON.stringify([user, project, billing_mode, sample.tags]),
  )
}

/** Without a session, an hour or the life of a process is what can be told to be seen by others too. */
function bucketOf({ is_cumulative, start_ns, time_ns }: MetricSample): string {
  return String(is_cumulative ? start_ns : time_ns / HOUR_NS)
}

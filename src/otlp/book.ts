import type { Clock } from '../clock.ts'
import { recordMetrics } from '../ledger/metric-record.ts'
import { countReceived, countRefused } from '../ledger/receiver.ts'
import { recordEvents } from '../ledger/record.ts'
import { NO_POLICY, type TelemetryPolicy } from '../policy.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Db } from '../store/schema.ts'
import { type AttributionRules, DEFAULT_TAGS } from './attribution.ts'
import { readMetrics } from './metrics.ts'
import {
  type Arrival,
  type Context,
  type Count,
  countOf,
  emptyReading,
  type Reading,
} from './reading.ts'
import { readLogs, readSpans } from './requests.ts'
import type { Batch, Booked } from './signal.ts'

export type BookDeps = {
  readonly db: Db
  readonly clock: Clock
  catalog(): Promise<Catalog>
  /** Attributes that become tags, besides the usual ones. */
  readonly tags?: readonly string[]
  /** How use is attributed and billed; without it by what the telemetry says. */
  policy?(): Promise<TelemetryPolicy>
}

/** Books one batch; it is on disk when the promise resolves. Any number of times changes nothing more. */
export function createBook(deps: BookDeps): (batch: Batch, context: Context) => Promise<Booked> {
  const bookAll = createBookAll(deps)
  return async (batch, context) => {
    const [booked] = await bookAll([{ batch, context }])
    return booked ?? { rejected: 0, message: '' }
  }
}

/** Books several batches in one transaction: all of them are on disk, or none is. */
export function createBookAll(deps: BookDeps): (arrivals: readonly Arrival[]) => Promise<Booked[]> {
  const { db, clock } = deps
  const tags = [...new Set([...DEFAULT_TAGS, ...(deps.tags ?? [])])]
  return async (arrivals) => {
    const catalog = await deps.catalog()
    const rules = { tags, policy: (await deps.policy?.()) ?? NO_POLICY }
    const readings = arrivals.map(({ batch, context }) => readBatch(batch, context, rules))
    const now = clock.now()
    await db.transaction().execute(async (trx) => {
      const events = readings.flatMap((reading) => [...reading.events.keys()])
      const { fresh } = await recordEvents(trx, catalog, events, now)
      countDuplicates(readings, new Set(fresh))
      const samples = readings.flatMap((reading) => reading.samples)
      await recordMetrics(trx, catalog, samples, now)
      for (const { signal, counts } of readings)
        for (const [client, count] of counts) await countItems(trx, { signal, client, count }, now)
    })
    return readings.map(bookedOf)
  }
}

type Counted = { readonly signal: string; readonly client: string; readonly count: Count }

async function countItems(trx: Db, { signal, client, count }: Counted, now: number): Promise<void> {
  await countReceived(trx, { signal, client: client || null, ...count }, now)
  const requests = count.without_temporality
  const refused = { kind: 'refused_temporality', client: client || 'unknown', requests } as const
  if (requests > 0) await countRefused(trx, refused, now)
}

/** Of an event that comes twice in the batches themselves, one is a duplicate too. */
function countDuplicates(readings: readonly Reading[], fresh: Set<string>): void {
  for (const { events } of readings)
    for (const [{ id }, count] of events)
      if (!fresh.delete(id)) {
        count.accepted -= 1
        count.duplicates += 1
      }
}

function readBatch(batch: Batch, context: Context, rules: AttributionRules): Reading {
  const reading = emptyReading(batch.signal)
  if (batch.signal === 'logs') readLogs(batch.records, context, rules, reading)
  else if (batch.signal === 'traces') readSpans(batch.spans, context, rules, reading)
  else readMetrics(batch.points, context, rules, reading)
  if ('ignored' in batch)
    for (const [client, items] of batch.ignored ?? []) countOf(reading, client).ignored += items
  return reading
}

const PROBLEMS_MAX = 5

function bookedOf({ counts, problems }: Reading): Booked {
  const rejected = [...counts.values()].reduce((sum, count) => sum + count.rejected, 0)
  return { rejected, message: [...problems].slice(0, PROBLEMS_MAX).join('; ') }
}

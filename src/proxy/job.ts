import type { Gate } from '../budgets/admission.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { findPending, type PendingUsage, removePending } from '../ledger/pending-usage.ts'
import { priceEvent } from '../ledger/record.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Meter, Reading } from '../providers/wire.ts'
import type { Db } from '../store/schema.ts'
import { TOKEN_CLASSES } from '../usage.ts'

export type JobDeps = { readonly db: Db; readonly gate: Gate; readonly catalog: Catalog }

/** The event with what an answer says put in; a model or a tier that it does not name stays as asked. */
export function withReading(event: UsageEvent, reading: Omit<Reading, 'beside'>): UsageEvent {
  return {
    ...event,
    model: reading.model ?? event.model,
    service_tier: reading.service_tier ?? event.service_tier,
    speed: reading.speed ?? event.speed,
    inference_geo: reading.inference_geo,
    usage: reading.usage,
    reported_cost_nanos: reading.reported_cost_nanos,
    quality: reading.is_consistent ? 'exact' : 'estimated',
  }
}

/**
 * An answer told what became of a job. Is it one that waits, it is booked once, whoever asked; usage of
 * any other was booked with its own request.
 */
export async function settleJob(
  deps: JobDeps,
  provider: string,
  job: NonNullable<ReturnType<Meter['job']>>,
  reading: Reading | null,
): Promise<void> {
  if (!job.is_over) return
  const pending = await findPending(deps.db, provider, job.id)
  if (pending) await settlePending(deps, pending, reading)
}

/** Without a reading the job ended and did not tell: the whole hold stays charged. */
export async function settlePending(
  deps: JobDeps,
  pending: PendingUsage,
  reading: Reading | null,
): Promise<void> {
  const { event, hold_id } = pending
  await settleReading(deps, { event, hold_id, reading })
  await removePending(deps.db, pending)
}

export async function settleReading(
  { gate, catalog }: Omit<JobDeps, 'db'>,
  {
    event,
    hold_id,
    reading,
  }: { event: UsageEvent; hold_id: string | null; reading: Reading | null },
): Promise<void> {
  const main = reading ? withReading(event, reading) : untold(event)
  const beside = (reading?.beside ?? []).map((one, i) => ({
    ...withReading(event, one),
    id: `${event.id}.${i + 1}`,
  }))
  await gate.settle({
    hold_id,
    event: main,
    ...(beside.length > 0 ? { beside } : {}),
    cost_nanos: sumCost(catalog, [main, ...beside]),
  })
}

/** Null as soon as one part of it is not certain. */
function sumCost(catalog: Catalog, events: readonly UsageEvent[]): bigint | null {
  let sum = 0n
  for (const event of events) {
    const cost = event.quality === 'exact' ? priceEvent(catalog, event).nanos : null
    if (cost === null) return null
    sum += cost
  }
  return sum
}

/** The job ended and did not tell: what was estimated when it began is all there is. */
function untold(event: UsageEvent): UsageEvent {
  const is_estimate = TOKEN_CLASSES.some((name) => event.usage[name] > 0)
  return { ...event, quality: is_estimate ? 'estimated' : 'missing' }
}

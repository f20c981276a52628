import { type BatchFile, saveBatchFile } from '../ledger/batch-file.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { addPending, type PendingUsage } from '../ledger/pending-usage.ts'
import { priceEvent } from '../ledger/record.ts'
import type { Api, Ask } from '../providers/wire.ts'
import { NO_USAGE, type Usage } from '../usage.ts'
import { type JobDeps, settleJob, settleReading } from './job.ts'
import type { Tap } from './tap.ts'

/** A forwarded request, as far as its booking is concerned. */
export type Booking = {
  readonly event: UsageEvent
  readonly hold_id: string | null
  /** Null: it costs nothing. */
  readonly api: Api | null
  readonly rule: 'metered' | 'told_later' | 'free'
  readonly ask: Ask
  readonly body_bytes: number
  /** The job that the path names, on routes that tell of one. */
  readonly job_id: string | null
  readonly path: string
  /** The requests of the file that is uploaded. */
  readonly upload: Omit<BatchFile, 'file_id'> | null
}

export type Outcome = {
  /** 0: no answer came. */
  readonly status: number
  readonly provider_request_id: string | null
  readonly tap: Tap | null
  readonly end: 'complete' | 'client_left' | 'broken'
}

/** Text bytes that are surely a token: more than the three to five that a token usually has would be too few. */
const TEXT_BYTES_PER_TOKEN = 3
/** Input is mostly text and structure. */
const INPUT_BYTES_PER_TOKEN = 4
const FIRST_POLL_MS = 15_000
/** Batches are over within a day; some hours for what is late. */
const JOB_DEADLINE_MS = 30 * 3_600_000

/** Books a forwarded request, whatever became of it: committed when it returns. */
export async function settle(deps: JobDeps, booking: Booking, outcome: Outcome): Promise<void> {
  const { tap } = outcome
  const asked = { ...booking.event, request_id: outcome.provider_request_id }
  if (booking.rule !== 'metered' || outcome.status >= 300) {
    await settleFree(deps, { ...booking, event: asked })
    if (booking.rule === 'told_later' && tap && outcome.status < 400)
      await settleTold(deps, booking, tap)
    return
  }
  const event = { ...asked, response_id: tap?.answerId() ?? null }
  const job = booking.ask.is_background ? tap?.meter.job() : null
  if (job && !job.is_over) {
    const pending = pendingOf({ ...booking, event }, job.id)
    // A store that is locked keeps no job in mind; the gate books what is known once it can.
    return addPending(deps.db, pending).catch(() =>
      settleEstimate(deps, { ...booking, event }, outcome),
    )
  }
  const reading = tap?.meter.reading() ?? null
  if (reading && tap?.meter.isFinal())
    return settleReading(deps, { event, hold_id: booking.hold_id, reading })
  await settleEstimate(deps, { ...booking, event }, outcome)
}

/** Refused or sent elsewhere by the provider, or a route without a price: a row that says so. */
async function settleFree({ gate }: JobDeps, { event, hold_id, rule }: Booking): Promise<void> {
  const usage = { ...NO_USAGE, requests: rule === 'metered' ? 1 : 0 }
  await gate.settle({ hold_id, event: { ...event, usage, quality: 'exact' }, cost_nanos: 0n })
}

async function settleTold(
  deps: JobDeps,
  { event, job_id, upload }: Booking,
  { meter }: Tap,
): Promise<void> {
  const reading = meter.reading()
  const file_id = upload && meter.job()?.id
  if (file_id) await saveBatchFile(deps.db, { ...upload, file_id }, event.occurred_at)
  const told = meter.job() ?? (job_id && reading ? { id: job_id, is_over: true } : null)
  if (told) await settleJob(deps, event.provider, told, reading)
}

/** Until the provider tells, the event says what the request's size does. */
function pendingOf(booking: Booking, job_id: string): PendingUsage {
  const { event, hold_id, api, path } = booking
  const [below = ''] = path.split('?', 1)
  return {
    provider: event.provider,
    job_id,
    api: api?.name ?? '',
    wrapped_key: event.wrapped_key ?? '',
    hold_id,
    event: { ...event, usage: estimate(booking, null) },
    path: below + (api?.jobPath?.(job_id) ?? ''),
    next_poll_at: event.occurred_at + FIRST_POLL_MS,
    deadline_at: event.occurred_at + JOB_DEADLINE_MS,
  }
}

/**
 * Usage was not said, or not to its end. What the request itself proves is exact all the same; other
 * estimates leave the whole hold charged, since only the provider knows what it will bill.
 */
async function settleEstimate(deps: JobDeps, booking: Booking, outcome: Outcome): Promise<void> {
  const { event, hold_id, ask } = booking
  const proven = outcome.end === 'complete' && ask.estimate?.is_exact === true
  const quality = proven ? 'exact' : isUnknown(outcome) ? 'missing' : 'estimated'
  const usage =
    quality === 'missing' ? { ...NO_USAGE, requests: 1 } : estimate(booking, outcome.tap)
  const reading = outcome.tap?.meter.reading()
  const entry: UsageEvent = {
    ...event,
    model: reading?.model ?? event.model,
    service_tier: reading?.service_tier ?? event.service_tier,
    inference_geo: reading?.inference_geo ?? null,
    usage,
    quality,
  }
  const cost_nanos = proven ? priceEvent(deps.catalog, entry).nanos : null
  await deps.gate.settle({ hold_id, event: entry, cost_nanos })
}

/** An answer that could not be read, or a request that may or may not have reached a model. */
function isUnknown({ status, tap, end }: Outcome): boolean {
  if (tap?.meter.reading()) return false
  if (tap?.problem() && end === 'complete') return true
  if (status === 0) return end === 'broken'
  return false
}

function estimate({ ask, body_bytes }: Booking, tap: Tap | null): Usage {
  const seen = Math.ceil((tap?.textBytes() ?? 0) / TEXT_BYTES_PER_TOKEN)
  const said = tap?.meter.reading()?.usage
  if (said) return { ...said, output_tokens: Math.max(said.output_tokens, seen) }
  return {
    ...NO_USAGE,
    requests: 1,
    ...(ask.estimate?.usage ?? {
      uncached_input_tokens: Math.ceil(body_bytes / INPUT_BYTES_PER_TOKEN),
      output_tokens: seen,
    }),
  }
}

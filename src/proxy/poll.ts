import { MINUTE_MS } from '../clock.ts'
import { listDuePending, type PendingUsage, postponePending } from '../ledger/pending-usage.ts'
import { type Api, NO_ASK, type Surface, type Wire } from '../providers/wire.ts'
import { settlePending } from './job.ts'
import type { ProxyState } from './route.ts'
import { createTap } from './tap.ts'

const JOBS_PER_RUN_MAX = 20
const PAUSE_MS_MIN = 15_000
const PAUSE_MS_MAX = 10 * MINUTE_MS
const ANSWER_MS_MAX = 10 * MINUTE_MS
/** More than any results file; what is longer is not read in part. */
const ANSWER_BYTES_MAX = 4 * 1024 ** 3

/**
 * Asks providers for the usage of jobs that were answered before their work was done, for clients that
 * do not ask themselves. A job that never tells is booked at its deadline, as what could be estimated.
 */
export async function pollJobs(state: ProxyState): Promise<void> {
  const { deps } = state
  const now = deps.clock.now()
  for (const pending of await listDuePending(deps.db, now, JOBS_PER_RUN_MAX)) {
    const is_settled = await pollOne(state, pending).catch(() => false)
    if (is_settled) continue
    if (now >= pending.deadline_at) await settlePending(deps, pending, null)
    else await postponePending(deps.db, pending, now + pauseOf(pending, now))
  }
}

/** The longer a job has run, the longer it will take. */
function pauseOf({ event }: PendingUsage, now: number): number {
  return Math.min(Math.max((now - event.occurred_at) / 4, PAUSE_MS_MIN), PAUSE_MS_MAX)
}

async function pollOne(state: ProxyState, pending: PendingUsage): Promise<boolean> {
  const { deps } = state
  const is_compat = !deps.providers.some(({ id }) => id === pending.provider)
  const wire = await state.upstreams.findWire(pending.provider, is_compat)
  const spoken = wire && findApi(wire, pending)
  const secret = await deps.upstreamKey(pending.provider, { id: pending.wrapped_key })
  if (!wire || !spoken || !secret) return false
  const { pool, prefix } = state.upstreams.connect(wire.base_url)
  const answer = await pool.request({
    path: prefix + pending.path,
    method: 'GET',
    headers: {
      ...spoken.surface.poll_headers,
      ...Object.fromEntries([spoken.surface.authorize(secret.reveal(), () => undefined)]),
    },
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  })
  if (answer.statusCode !== 200) {
    await answer.body.dump()
    return false
  }
  return readJob(state, pending, { api: spoken.api, answer })
}

type Answer = Awaited<ReturnType<ReturnType<ProxyState['upstreams']['connect']>['pool']['request']>>

async function readJob(
  { deps }: ProxyState,
  pending: PendingUsage,
  { api, answer }: { api: Api; answer: Answer },
): Promise<boolean> {
  const meter = api.createMeter(NO_ASK)
  const tap = createTap(api, meter, {
    content_type: String(answer.headers['content-type'] ?? ''),
    content_encoding: String(answer.headers['content-encoding'] ?? ''),
  })
  let size = 0
  for await (const chunk of answer.body) {
    size += chunk.length
    if (size > ANSWER_BYTES_MAX) return false
    tap.feed(chunk)
  }
  await tap.end()
  if (tap.problem() !== null) return false
  const reading = meter.reading()
  if (!reading && meter.job()?.is_over !== true) return false
  await settlePending(deps, pending, reading)
  return true
}

function findApi(
  { surfaces }: Wire,
  { api: name, path }: PendingUsage,
): { api: Api; surface: Surface } | undefined {
  for (const surface of surfaces) {
    if (surface.prefix !== '/' && !path.startsWith(surface.prefix)) continue
    for (const route of surface.routes)
      if ('api' in route && route.api.name === name) return { api: route.api, surface }
  }
  return undefined
}

import type { App } from '../app.ts'
import { messageOf } from '../errors.ts'
import { findLease, releaseLease, takeLease } from '../store/lease.ts'

/** Work that is due by what the database says, so that a killed process forgets nothing. */
export type Job = {
  readonly name: string
  isDue(app: App): Promise<boolean>
  run(app: App, signal: AbortSignal): Promise<void>
}

export type Scheduler = {
  /** Whether this process owns the store's jobs now. */
  isOwner(): boolean
  close(): Promise<void>
}

export type SchedulerEvents = {
  /** Runs each time ownership changes. */
  onOwner(is_owner: boolean): Promise<void>
  onFirstTick(): void
}

export const OWNER_LEASE = 'owner'
const TICK_MS = 1_000
/** A reader takes over at the latest this long, plus a tick, after the owner's last breath. */
const OWNER_TTL_MS = 4_000

/**
 * Each second: take or keep the owner's lease, and start what is due. A job never overlaps itself; what
 * it throws is a defect, logged without ending the others.
 */
export function startScheduler(
  app: App,
  jobs: readonly Job[],
  { onOwner, onFirstTick }: SchedulerEvents,
): Scheduler {
  const abort = new AbortController()
  const running = new Map<string, Promise<void>>()
  let is_owner = false
  let ticking: Promise<void> = Promise.resolve()

  const timer = setInterval(() => void next(), TICK_MS)
  timer.unref()
  void next().then(onFirstTick)

  function next(): Promise<void> {
    ticking = ticking.then(tick).catch((error: unknown) => {
      app.log.warn('the scheduler failed; it goes on', { reason: messageOf(error) })
    })
    return ticking
  }

  async function tick(): Promise<void> {
    if (abort.signal.aborted) return
    const owns = await keepLease()
    if (owns !== is_owner) {
      is_owner = owns
      await onOwner(owns)
    }
    if (!is_owner) return
    for (const job of jobs)
      if (!running.has(job.name) && (await job.isDue(app))) running.set(job.name, start(job))
  }

  /** A reader only looks until the lease is free: looking needs no write lock. */
  async function keepLease(): Promise<boolean> {
    const { db, holder } = app
    if (!is_owner && (await findLease(db, holder, OWNER_LEASE))) return false
    return takeLease(db, holder, { name: OWNER_LEASE, ttl_ms: OWNER_TTL_MS })
  }

  async function start(job: Job): Promise<void> {
    try {
      await job.run(app, abort.signal)
    } catch (error) {
      if (!abort.signal.aborted)
        app.log.warn(`the job ${job.name} failed`, { reason: messageOf(error) })
    } finally {
      running.delete(job.name)
    }
  }

  return {
    isOwner: () => is_owner,
    async close() {
      clearInterval(timer)
      abort.abort()
      await ticking
      await Promise.allSettled(running.values())
      if (is_owner) await releaseLease(app.db, app.holder, OWNER_LEASE)
    },
  }
}

import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { isStoreTrouble } from '../store/driver.ts'
import type { Admission } from './admission.ts'
import { type Operation, run } from './batch.ts'
import { peek, refresh, type Till } from './till.ts'
import type { WalSync } from './wal-sync.ts'

export type QueueParts = {
  readonly till: Till
  readonly wal: WalSync
  readonly clock: Clock
  readonly log: Log
}

export type GateQueue = {
  add(operation: Operation): Promise<Admission | undefined>
  /** Waits until all is written; gives how many bookings could not be. */
  drain(): Promise<number>
}

const BATCH_MAX = 512
/** How long an admission waits for a locked store before it is refused. */
const ADMIT_WAIT_MS = 2_000
/** How long an answer is held back for its booking; after that it is booked behind its back. */
const SETTLE_WAIT_MS = 2_000
const RETRY_MS_MAX = 50
/** Past this many bookings in memory nothing more is let through: none may be lost. */
const QUEUE_MAX = 50_000
const CLOSE_WAIT_MS = 5_000

type Waiting = {
  readonly operation: Operation
  readonly since: number
  readonly answer: PromiseWithResolvers<Admission | undefined>
  /** Nothing is left to do for it, whether or not its answer is out yet. */
  is_done: boolean
}

type Queue = QueueParts & {
  waiting: Waiting[]
  is_scheduled: boolean
  /** Above 0 while the store is in trouble. */
  retry_ms: number
  last_now: number
}

/** What comes in one turn of the event loop is written in one transaction. */
export function createQueue(parts: QueueParts): GateQueue {
  const queue: Queue = {
    ...parts,
    waiting: [],
    is_scheduled: false,
    retry_ms: 0,
    last_now: 0,
  }
  return { add: (operation) => add(queue, operation), drain: () => drain(queue) }
}

function add(queue: Queue, operation: Operation): Promise<Admission | undefined> {
  if (operation.kind === 'admit' && queue.waiting.length >= QUEUE_MAX)
    return Promise.resolve(unavailable(queue, operation))
  const answer = Promise.withResolvers<Admission | undefined>()
  queue.waiting.push({ operation, since: queue.clock.wallNow(), answer, is_done: false })
  schedule(queue)
  return answer.promise
}

async function drain(queue: Queue): Promise<number> {
  const deadline = queue.clock.wallNow() + CLOSE_WAIT_MS
  while (queue.waiting.length > 0 && queue.clock.wallNow() < deadline) await queue.clock.sleep(5)
  const lost = queue.waiting.splice(0)
  return lost.length
}

function schedule(queue: Queue): void {
  if (queue.is_scheduled || queue.waiting.length === 0) return
  queue.is_scheduled = true
  const next = () => {
    queue.is_scheduled = false
    flush(queue)
    schedule(queue)
  }
  if (queue.retry_ms === 0) setImmediate(next)
  else setTimeout(next, queue.retry_ms)
}

function flush(queue: Queue): void {
  const batch = queue.waiting.slice(0, BATCH_MAX)
  try {
    const bound = batch.filter((one) => !passFree(queue, one))
    if (bound.length > 0) commit(queue, bound)
    queue.retry_ms = 0
  } catch (error) {
    waitFor(queue, error)
  }
  queue.waiting = queue.waiting.filter(({ is_done }) => !is_done)
}

/** Windows never go back, whatever the system clock does. */
function nowOf(queue: Queue): number {
  queue.last_now = Math.max(queue.last_now, queue.clock.now())
  return queue.last_now
}

/** Where no blocking budget binds there is nothing to write; what was known of that may be old. */
function passFree(queue: Queue, one: Waiting): boolean {
  if (isBound(queue, one)) return false
  refresh(queue.till, nowOf(queue))
  return passKnownFree(queue, one)
}

function passKnownFree(queue: Queue, one: Waiting): boolean {
  if (isBound(queue, one)) return false
  end(one, { kind: 'admitted', hold_id: null, remaining_nanos: null })
  return true
}

function isBound(queue: Queue, { operation }: Waiting): boolean {
  if (operation.kind !== 'admit') return true
  return peek(queue.till, operation.request.subject, nowOf(queue)) !== undefined
}

function end(one: Waiting, result: Admission | undefined): void {
  one.is_done = true
  one.answer.resolve(result)
}

/** One transaction; when an operation breaks a rule of the store, each gets its own. */
function commit(queue: Queue, batch: readonly Waiting[]): void {
  try {
    const operations = batch.map(({ operation }) => operation)
    const results = run(queue.till, operations, nowOf(queue))
    for (const [i, one] of batch.entries()) end(one, results[i])
    queue.wal.soon()
  } catch (error) {
    if (isStoreTrouble(error)) throw error
    const [first] = batch
    if (batch.length > 1) for (const one of batch) commit(queue, [one])
    else if (first) {
      first.is_done = true
      first.answer.reject(error)
    }
  }
}

/** Nothing was done. Whoever waited long enough gets an answer; bookings stay until they are written. */
function waitFor(queue: Queue, error: unknown): void {
  if (queue.retry_ms === 0)
    queue.log.warn('the store cannot be written; trying again', { reason: messageOf(error) })
  queue.retry_ms = Math.min(RETRY_MS_MAX, queue.retry_ms * 2 || 1)
  const now = queue.clock.wallNow()
  for (const one of queue.waiting) {
    if (one.is_done || passKnownFree(queue, one)) continue
    const waited_ms = now - one.since
    if (one.operation.kind !== 'admit') {
      if (waited_ms >= SETTLE_WAIT_MS) one.answer.resolve(undefined)
    } else if (waited_ms >= ADMIT_WAIT_MS) end(one, unavailable(queue, one.operation))
  }
}

function unavailable(queue: Queue, operation: Operation): Admission {
  const subject = operation.kind === 'admit' ? operation.request.subject : undefined
  const budget = (subject && peek(queue.till, subject, nowOf(queue))) ?? null
  return { kind: 'denied', reason: 'unavailable', budget, affordable_nanos: 0n }
}

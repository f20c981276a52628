import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Space } from './body.ts'
import { decode, type Encoding } from './decode.ts'
import type { Decoded, Signal } from './decode-batch.ts'
import {
  GROUP_BYTES_MAX,
  GROUP_REQUESTS_MAX,
  IN_FLIGHT_BYTES_MAX,
  IN_FLIGHT_REQUESTS_MAX,
} from './limits.ts'
import type { Sieves } from './sieve.ts'
import type { Batch, Booked } from './signal.ts'

export type BookContext = {
  readonly received_at: number
  /** Whose access token came with it; null on loopback without one. */
  readonly token: { readonly id: string; readonly name: string } | null
}

export type Arrival = { readonly batch: Batch; readonly context: BookContext }

/**
 * Resolves when all are on disk, in their order; else none of them is. The same batch again, split
 * differently and in any order, changes nothing.
 */
export type BookAll = (arrivals: readonly Arrival[]) => Promise<readonly Booked[]>

/** One request's body as it came. */
export type Delivery = {
  readonly signal: Signal
  readonly encoding: Encoding
  readonly body: Buffer
  readonly context: BookContext
}

export type Inbox = {
  /** Room for one request, to be closed when it is answered; undefined: there is none. */
  open(): (Space & { close(): void }) | undefined
  /** Resolves when it is on disk. @throws BadPayload, TooManyItems, or what booking throws. */
  push(delivery: Delivery): Promise<Booked>
}

type Waiting = {
  readonly delivery: Delivery
  resolve(booked: Booked): void
  reject(error: unknown): void
}

const NOTHING: Booked = { rejected: 0, message: '' }

type Ready = Waiting & { readonly decoded: Decoded }

/**
 * Takes requests as they come and books them at its own pace: what arrived at once shares a transaction,
 * one group at a time, and between its bodies and after it everybody else has a turn. Bodies wait undecoded, so that
 * memory is bounded by their bytes and only one group's items exist.
 */
export function createInbox(
  bookAll: BookAll,
  {
    bytes_max = IN_FLIGHT_BYTES_MAX,
    requests_max = IN_FLIGHT_REQUESTS_MAX,
    sieves = {} as Sieves,
  } = {},
): Inbox {
  const waiting: Waiting[] = []
  let requests = 0
  let bytes = 0
  let is_running = false

  async function run(): Promise<void> {
    is_running = true
    while (waiting.length > 0) {
      // First, so that all requests of this turn are in the group.
      await nextTurn()
      const ready: Ready[] = []
      for (const one of takeGroup(waiting)) {
        ready.push(...decodeOne(one, sieves))
        await nextTurn()
      }
      await bookGroup(ready, bookAll)
    }
    is_running = false
  }

  return {
    open() {
      if (requests >= requests_max || bytes >= bytes_max) return undefined
      requests++
      let taken = 0
      return {
        take(more) {
          if (bytes + more > bytes_max) return false
          bytes += more
          taken += more
          return true
        },
        close() {
          requests--
          bytes -= taken
        },
      }
    },
    push(delivery) {
      return new Promise((resolve, reject) => {
        waiting.push({ delivery, resolve, reject })
        if (!is_running) void run()
      })
    },
  }
}

function takeGroup(waiting: Waiting[]): Waiting[] {
  let size = 0
  let bytes = 0
  for (const { delivery } of waiting) {
    bytes += delivery.body.length
    if (size > 0 && (bytes > GROUP_BYTES_MAX || size === GROUP_REQUESTS_MAX)) break
    size++
  }
  return waiting.splice(0, size)
}

async function bookGroup(ready: readonly Ready[], bookAll: BookAll): Promise<void> {
  if (ready.length === 0) return
  try {
    const arrivals = ready.map(({ decoded, delivery }) => ({
      batch: decoded.batch,
      context: delivery.context,
    }))
    const booked = await bookAll(arrivals)
    for (const [index, one] of ready.entries())
      one.resolve(withUnreadable(one.decoded, booked[index] ?? NOTHING))
  } catch (error) {
    // Whose batch stands in the others' way shows when each has a transaction of its own.
    if (ready.length === 1 || isStoreTrouble(error)) for (const one of ready) one.reject(error)
    else for (const one of ready) await bookGroup([one], bookAll)
  }
}

function decodeOne(one: Waiting, sieves: Sieves): Ready[] {
  const { signal, encoding, body } = one.delivery
  try {
    const decoded = decode(signal, encoding, body, sieves[signal])
    if (countItems(decoded.batch) > 0) return [{ ...one, decoded }]
    one.resolve(withUnreadable(decoded, NOTHING))
    return []
  } catch (error) {
    one.reject(error)
    return []
  }
}

function withUnreadable({ rejected }: Decoded, booked: Booked): Booked {
  if (rejected === 0) return booked
  const unreadable = `${rejected} could not be read: a number or instant in them is none.`
  return {
    rejected: booked.rejected + rejected,
    message: booked.message === '' ? unreadable : `${unreadable} ${booked.message}`,
  }
}

function countItems(batch: Batch): number {
  if (batch.signal === 'metrics') return batch.points.length
  const read = batch.signal === 'logs' ? batch.records : batch.spans
  return read.length + (batch.ignored?.size ?? 0)
}

/** SQLITE_BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN: https://www.sqlite.org/rescode.html */
const PASSING_CODES = [5, 6, 8, 10, 13, 14]

/** The store cannot write just now: it is worth to send the same again. */
export function isStoreTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, errcode } = error as Error & { code?: unknown; errcode?: unknown }
  if (typeof errcode === 'number') return PASSING_CODES.includes(errcode & 0xff)
  return /^SQLITE_(BUSY|LOCKED|READONLY|IOERR|FULL|CANTOPEN)/.test(String(code))
}

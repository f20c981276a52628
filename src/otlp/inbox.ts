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
import type { Batch, Booked } from './signal.ts'

export type BookContext = {
  readonly received_at: number
  /** Whose access token came with it; null on loopback without one. */
  readonly token: { readonly id: string; readonly name: string } | null
}

/** Resolves when the batch is on disk. The same batch again changes nothing. */
export type Book = (batch: Batch, context: BookContext) => Promise<Booked>

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

type Ready = Waiting & { readonly decoded: Decoded }

/**
 * Takes requests as they come and books them at its own pace: what arrived at once shares a transaction,
 * one group at a time, and between groups everybody else has a turn. Bodies wait undecoded, so that
 * memory is bounded by their bytes and only one group's items exist.
 */
export function createInbox(
  book: Book,
  { bytes_max = IN_FLIGHT_BYTES_MAX, requests_max = IN_FLIGHT_REQUESTS_MAX } = {},
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
      await bookGroup(takeGroup(waiting), book)
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

async function bookGroup(group: readonly Waiting[], book: Book): Promise<void> {
  const ready = group.flatMap(decodeOne)
  const alike = Map.groupBy(
    ready,
    ({ delivery: { signal, context } }) => `${signal} ${context.token?.id ?? ''}`,
  )
  for (const ones of alike.values()) {
    const is_done = ones.length > 1 && (await bookTogether(ones, book))
    if (!is_done) for (const one of ones) await bookAlone(one, book)
  }
}

function decodeOne(one: Waiting): Ready[] {
  const { signal, encoding, body } = one.delivery
  try {
    const decoded = decode(signal, encoding, body)
    if (countItems(decoded.batch) > 0) return [{ ...one, decoded }]
    one.resolve(withUnreadable(decoded, { rejected: 0, message: '' }))
    return []
  } catch (error) {
    one.reject(error)
    return []
  }
}

/**
 * False: it must be known whose items can never be booked, or whose batch stands in the others' way.
 * Booking each alone tells; what is on disk already is not booked twice.
 */
async function bookTogether(ones: readonly Ready[], book: Book): Promise<boolean> {
  const [first] = ones
  if (!first) return true
  const received_at = Math.max(...ones.map(({ delivery }) => delivery.context.received_at))
  const context = { ...first.delivery.context, received_at }
  try {
    const { rejected, message } = await book(mergeBatches(first.decoded.batch, ones), context)
    if (rejected > 0) return false
    for (const one of ones) one.resolve(withUnreadable(one.decoded, { rejected, message }))
    return true
  } catch (error) {
    if (!isStoreTrouble(error)) return false
    for (const one of ones) one.reject(error)
    return true
  }
}

async function bookAlone({ delivery, decoded, resolve, reject }: Ready, book: Book): Promise<void> {
  try {
    resolve(withUnreadable(decoded, await book(decoded.batch, delivery.context)))
  } catch (error) {
    reject(error)
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
  if (batch.signal === 'logs') return batch.records.length
  return batch.signal === 'traces' ? batch.spans.length : batch.points.length
}

function mergeBatches(first: Batch, ones: readonly Ready[]): Batch {
  const batches = ones.map(({ decoded }) => decoded.batch)
  if (first.signal === 'logs')
    return {
      signal: 'logs',
      records: batches.flatMap((one) => (one.signal === 'logs' ? one.records : [])),
    }
  if (first.signal === 'traces')
    return {
      signal: 'traces',
      spans: batches.flatMap((one) => (one.signal === 'traces' ? one.spans : [])),
    }
  return {
    signal: 'metrics',
    points: batches.flatMap((one) => (one.signal === 'metrics' ? one.points : [])),
  }
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

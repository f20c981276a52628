import { HOUR_MS, MINUTE_MS } from '../clock.ts'
import { findText, type Item } from './attributes.ts'

/** What is told of the time: 0n where the client sent none. */
export type TimeSource = Item & { readonly time_ns: bigint; readonly observed_ns: bigint }

export type Instant = {
  readonly at: number
  /** The client's clock is more than a day away from ours, or ahead of it. */
  readonly is_skewed: boolean
}

const NS_PER_MS = 1_000_000n
/** Nothing that we read existed before: an earlier time is a clock that was never set. */
const EARLIEST_AT = Date.UTC(2020, 0, 1)
const AHEAD_MAX_MS = 10 * MINUTE_MS
const SKEW_MAX_MS = 24 * HOUR_MS

/**
 * When it happened: the record's time, else `event.timestamp`, else when it was observed, else when it
 * came in. What lies ahead of us by more than ten minutes happened when it came in.
 */
export function resolveInstant(source: TimeSource, received_at: number): Instant {
  const candidates = [
    msOf(source.time_ns),
    Date.parse(findText(source, ['event.timestamp']) ?? ''),
    msOf(source.observed_ns),
  ]
  const at = candidates.find((one) => one >= EARLIEST_AT)
  if (at === undefined) return { at: received_at, is_skewed: candidates.some((one) => one > 0) }
  if (at > received_at + AHEAD_MAX_MS) return { at: received_at, is_skewed: true }
  return { at, is_skewed: received_at - at > SKEW_MAX_MS }
}

export function msOf(ns: bigint): number {
  return Number(ns / NS_PER_MS)
}

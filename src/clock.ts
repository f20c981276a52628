import { setTimeout as delay } from 'node:timers/promises'

/** The only source of time. Instants are UTC epoch milliseconds. */
export type Clock = {
  now(): number
  /** The real time even where `now()` stands still: for leases and backups, never for facts. */
  wallNow(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

export function systemClock(): Clock {
  return { now: () => Date.now(), wallNow: () => Date.now(), sleep }
}

/** A clock that starts at a given instant and stands still: for tests and demonstrations. */
export function fixedClock(at: number): Clock & { set(at: number): void } {
  let now = at
  return {
    now: () => now,
    wallNow: () => Date.now(),
    sleep,
    set(next) {
      now = next
    },
  }
}

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal, ref: true } : {})
}

/** `2026-11-24T10:00:00.000Z` */
export function isoTime(at: number): string {
  return new Date(at).toISOString()
}

/** The UTC day of an instant: `2026-11-24`. */
export function utcDate(at: number): string {
  return isoTime(at).slice(0, 10)
}

/** @throws RangeError when the text is no instant. */
export function parseInstant(text: string): number {
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw new RangeError(`not an instant: ${text}`)
  return at
}

export function floorTo(at: number, width_ms: number): number {
  return Math.floor(at / width_ms) * width_ms
}

export function ceilTo(at: number, width_ms: number): number {
  return Math.ceil(at / width_ms) * width_ms
}

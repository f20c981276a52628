import { DAY_MS, floorTo, HOUR_MS, MINUTE_MS } from '../clock.ts'
import { UserError } from '../errors.ts'
import { dateOf, monthStart, zonedMidnight } from '../period.ts'

/** `rolling_<n>h` is the last n hours at any instant; `lifetime` never begins anew. */
export type BudgetPeriod = 'day' | 'week' | 'month' | 'lifetime' | `rolling_${number}h`

/** When a budget begins anew. Days begin at midnight in its zone; `week_start` 1 is Monday. */
export type Calendar = {
  readonly period: BudgetPeriod
  readonly zone: string
  readonly week_start: number
}

/** Half-open. A lifetime starts at 0 and never ends; a rolling window ends now. */
export type Window = { readonly start: number; readonly end: number | null }

export const ROLLING_HOURS_MAX = 24 * 366
/**
 * Rolling spend is kept by the minute and a minute leaves as a whole, once all of it is too old: what is
 * counted is never less than what the window holds.
 */
export const ROLLING_BUCKET_MS = MINUTE_MS

/** @throws UserError for a period that is none. */
export function parseBudgetPeriod(text: string, field = 'period'): BudgetPeriod {
  if (text === 'day' || text === 'week' || text === 'month' || text === 'lifetime') return text
  const hours = Number(/^rolling_(\d{1,4})h$/.exec(text)?.[1])
  if (Number.isInteger(hours) && hours >= 1 && hours <= ROLLING_HOURS_MAX)
    return `rolling_${hours}h`
  throw new UserError(
    `${field}: must be day, week, month, lifetime or rolling_<n>h with 1 to ${ROLLING_HOURS_MAX} hours, such as rolling_5h.`,
  )
}

/** The length of a rolling window; undefined for the others. */
export function rollingMs(period: BudgetPeriod): number | undefined {
  const hours = /^rolling_(\d+)h$/.exec(period)?.[1]
  return hours === undefined ? undefined : Number(hours) * HOUR_MS
}

/** The window that an instant is in. Days of 23 and 25 hours are as long as they are. */
export function windowAt(calendar: Calendar, at: number): Window {
  const { period, zone, week_start } = calendar
  const rolling_ms = rollingMs(period)
  if (rolling_ms !== undefined)
    return { start: floorTo(at - rolling_ms, ROLLING_BUCKET_MS), end: null }
  if (period === 'lifetime') return { start: 0, end: null }
  const key = `${period} ${week_start} ${zone}`
  const last = asked.get(key)
  if (last && at >= last.start && at < last.end) return last
  const window = calendarWindow({ period, zone, week_start }, at)
  asked.set(key, window)
  return window
}

/** The window last asked for in each calendar: zones are slow to look up, and most instants are now. */
const asked = new Map<string, { start: number; end: number }>()

function calendarWindow({ period, zone, week_start }: Calendar, at: number) {
  const today = dateOf(at, zone)
  const [first, next] =
    period === 'day'
      ? [today, today + DAY_MS]
      : period === 'month'
        ? [monthStart(today, 0), monthStart(today, 1)]
        : weekOf(today, week_start)
  return { start: zonedMidnight(first, zone), end: zonedMidnight(next, zone) }
}

/** Where the spend of an instant is kept: its window, or its minute when the window rolls. */
export function bucketAt(calendar: Calendar, at: number): number {
  return rollingMs(calendar.period) === undefined
    ? windowAt(calendar, at).start
    : floorTo(at, ROLLING_BUCKET_MS)
}

/** Whether a rolling window has left a minute behind. */
export function isPast(bucket_start: number, rolling_ms: number, now: number): boolean {
  return bucket_start + ROLLING_BUCKET_MS + rolling_ms <= now
}

function weekOf(date: number, week_start: number): [first: number, next: number] {
  const weekday = new Date(date).getUTCDay() || 7
  const first = date - ((weekday - week_start + 7) % 7) * DAY_MS
  return [first, first + 7 * DAY_MS]
}

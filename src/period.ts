import { DAY_MS, floorTo, HOUR_MS, utcDate } from './clock.ts'
import { UserError } from './errors.ts'

export const PERIODS = [
  'today',
  'yesterday',
  'last_24h',
  'last_7d',
  'last_30d',
  'this_week',
  'last_week',
  'this_month',
  'last_month',
] as const

export type PeriodName = (typeof PERIODS)[number]

/**
 * A half-open stretch of time. Whole days carry dates, because a provider's report knows only UTC
 * days: the date then picks the UTC day of the same name, and the instants pick events in the zone.
 */
export type Period = {
  readonly label: string
  readonly start_at: number
  readonly end_at: number
  readonly zone: string
  /** UTC midnights of the first and of the first excluded date; null when the period cuts a day. */
  readonly days: { readonly start: number; readonly end: number } | null
}

/** Where its reports stand: its whole days, or its own edges where it cuts one. */
export function reportRange({ days, start_at, end_at }: Period): { start: number; end: number } {
  return days ?? { start: start_at, end: end_at }
}

export type PeriodRequest = {
  readonly period?: PeriodName | undefined
  /** A date (`2026-11-01`) or an instant with a zone. */
  readonly from?: string | undefined
  /** Excluded. A date or an instant; default now. */
  readonly to?: string | undefined
}

/** @throws UserError on a malformed or empty range, or on both forms at once. */
export function resolvePeriod(request: PeriodRequest, now: number, zone: string): Period {
  const { period, from, to } = request
  if (period && (from || to)) throw new UserError('Give either period or from/to, not both.')
  if (from || to) return customPeriod(request, now, zone)
  return namedPeriod(period ?? 'last_30d', now, zone)
}

/** The stretch of the same length before; a calendar period in progress is compared with as many days of the one before. */
export function previousPeriod(period: Period): Period {
  const { days, zone, label } = period
  if (!days) {
    const length = period.end_at - period.start_at
    const start_at = period.start_at - length
    return { label: `before ${label}`, start_at, end_at: period.start_at, zone, days: null }
  }
  const is_month = label === 'this_month' || label === 'last_month'
  const start = is_month ? monthStart(days.start, -1) : days.start - lengthOf(label, days)
  const length = days.end - days.start
  const end = is_month
    ? label === 'last_month'
      ? days.start
      : Math.min(start + length, days.start)
    : start + length
  return wholeDays(`before ${label}`, start, end, zone)
}

function lengthOf(label: string, days: { start: number; end: number }): number {
  return label === 'this_week' ? 7 * DAY_MS : days.end - days.start
}

function namedPeriod(name: PeriodName, now: number, zone: string): Period {
  if (name === 'last_24h') {
    const end_at = now
    return { label: name, start_at: now - DAY_MS, end_at, zone, days: null }
  }
  const today = dateOf(now, zone)
  const tomorrow = today + DAY_MS
  const ranges: Record<Exclude<PeriodName, 'last_24h'>, [start: number, end: number]> = {
    today: [today, tomorrow],
    yesterday: [today - DAY_MS, today],
    last_7d: [tomorrow - 7 * DAY_MS, tomorrow],
    last_30d: [tomorrow - 30 * DAY_MS, tomorrow],
    this_week: [weekStart(today), tomorrow],
    last_week: [weekStart(today) - 7 * DAY_MS, weekStart(today)],
    this_month: [monthStart(today, 0), tomorrow],
    last_month: [monthStart(today, -1), monthStart(today, 0)],
  }
  const [start, end] = ranges[name]
  return wholeDays(name, start, end, zone)
}

function customPeriod({ from, to }: PeriodRequest, now: number, zone: string): Period {
  const end = to === undefined ? undefined : parseEdge(to, 'to')
  const start = from === undefined ? undefined : parseEdge(from, 'from')
  if (!start) throw new UserError('"to" needs "from" as well.')
  const label = `${from} to ${to ?? 'now'}`
  const last = end ?? { date: dateOf(now, zone) + DAY_MS }
  if ('date' in start && 'date' in last) {
    if (start.date >= last.date)
      throw new UserError('The period is empty: "from" must be before "to" (which is excluded).')
    return wholeDays(label, start.date, last.date, zone)
  }
  const start_at = 'date' in start ? zonedMidnight(start.date, zone) : start.instant
  const end_at =
    end === undefined ? now : 'date' in end ? zonedMidnight(end.date, zone) : end.instant
  if (start_at >= end_at)
    throw new UserError('The period is empty: "from" must be before "to" (which is excluded).')
  const are_days = start_at % DAY_MS === 0 && end_at % DAY_MS === 0
  return { label, start_at, end_at, zone, days: are_days ? { start: start_at, end: end_at } : null }
}

type Edge = { readonly date: number } | { readonly instant: number }

function parseEdge(text: string, name: string): Edge {
  const at = Date.parse(text)
  const is_date = /^\d{4}-\d{2}-\d{2}$/.test(text)
  if (is_date && !Number.isNaN(at) && utcDate(at) === text) return { date: at }
  if (/T.*(Z|[+-]\d{2}:?\d{2})$/.test(text) && !Number.isNaN(at)) return { instant: at }
  throw new UserError(
    `"${name}" must be a date like 2026-11-01 or an instant like 2026-11-01T00:00:00Z.`,
  )
}

function wholeDays(label: string, start: number, end: number, zone: string): Period {
  const start_at = zonedMidnight(start, zone)
  return { label, start_at, end_at: zonedMidnight(end, zone), zone, days: { start, end } }
}

/** The local date of an instant, as the UTC midnight of the same name. */
export function dateOf(at: number, zone: string): number {
  return floorTo(at + zoneOffset(at, zone), DAY_MS)
}

/** As `dateOf`, for many instants: days on which the clocks are not changed are looked up once. */
export function createDateOf(zone: string): (at: number) => number {
  const offsets = new Map<number, number | undefined>()
  return (at) => {
    const day = floorTo(at, DAY_MS)
    if (!offsets.has(day)) {
      const offset = zoneOffset(day, zone)
      offsets.set(day, offset === zoneOffset(day + DAY_MS, zone) ? offset : undefined)
    }
    const offset = offsets.get(day)
    return offset === undefined ? dateOf(at, zone) : floorTo(at + offset, DAY_MS)
  }
}

/** Monday of the week. */
export function weekStart(date: number): number {
  return date - ((new Date(date).getUTCDay() + 6) % 7) * DAY_MS
}

export function monthStart(date: number, months: number): number {
  const day = new Date(date)
  return Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + months, 1)
}

/** The instant at which a date begins in a zone: where clocks go forward at midnight, it has none. */
export function zonedMidnight(date: number, zone: string): number {
  const offsets = [zoneOffset(date - DAY_MS, zone), zoneOffset(date + DAY_MS, zone)]
  const early = date - Math.max(...offsets)
  return early + zoneOffset(early, zone) === date ? early : date - Math.min(...offsets)
}

/** How far the zone's clocks are ahead of UTC at an instant. */
export function zoneOffset(at: number, zone: string): number {
  if (zone === 'UTC') return 0
  const parts = formatter(zone).formatToParts(at)
  const value = (type: string) => Number(parts.find((part) => part.type === type)?.value)
  const local = Date.UTC(
    value('year'),
    value('month') - 1,
    value('day'),
    value('hour'),
    value('minute'),
    value('second'),
  )
  return local - floorTo(at, 1_000)
}

export function isTimeZone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }))
  } catch {
    return false
  }
}

const formatters = new Map<string, Intl.DateTimeFormat>()

function formatter(zone: string): Intl.DateTimeFormat {
  const known = formatters.get(zone)
  if (known) return known
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  formatters.set(zone, made)
  return made
}

export const QUARTER_MS = HOUR_MS / 4

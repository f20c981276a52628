import { expect, test } from 'vitest'
import { type Calendar, windowAt } from '../../src/budgets/window.ts'
import { DAY_MS, isoTime, MINUTE_MS } from '../../src/clock.ts'

/** Zones with a change of clocks at midnight, forwards or back, on the date that follows. */
test.each([
  ['America/Santiago', '2026-09-06'],
  ['America/Santiago', '2026-04-05'],
  ['America/Havana', '2026-03-08'],
  ['America/Havana', '2026-11-01'],
  ['Atlantic/Azores', '2026-03-29'],
  ['Atlantic/Azores', '2026-10-25'],
  ['Africa/Cairo', '2026-04-24'],
  ['Europe/Berlin', '2026-10-25'],
])('every instant is in its own window in %s around %s', (zone, date) => {
  for (const period of ['day', 'week', 'month'] as const) {
    const calendar: Calendar = { period, zone, week_start: 7 }
    const midnight = Date.parse(date)
    for (let at = midnight - DAY_MS; at < midnight + 2 * DAY_MS; at += 10 * MINUTE_MS) {
      const { start, end } = windowAt(calendar, at)
      expect([isoTime(start) <= isoTime(at), at < (end ?? 0)]).toEqual([true, true])
      expect(windowAt(calendar, start - 1).end).toBe(start)
    }
  }
})

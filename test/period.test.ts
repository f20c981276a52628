import { expect, test } from 'vitest'
import { isoTime, utcDate } from '../src/clock.ts'
import { PERIODS, type Period, previousPeriod, resolvePeriod } from '../src/period.ts'

const NOW = Date.parse('2026-11-20T15:30:00Z') // a Friday

function dates({ days }: Period): [string, string] | null {
  return days && [utcDate(days.start), utcDate(days.end)]
}

test.each([
  ['today', '2026-11-20', '2026-11-21'],
  ['yesterday', '2026-11-19', '2026-11-20'],
  ['last_7d', '2026-11-14', '2026-11-21'],
  ['last_30d', '2026-10-22', '2026-11-21'],
  ['this_week', '2026-11-16', '2026-11-21'],
  ['last_week', '2026-11-09', '2026-11-16'],
  ['this_month', '2026-11-01', '2026-11-21'],
  ['last_month', '2026-10-01', '2026-11-01'],
] as const)('%s is %s to %s', (period, from, to) => {
  expect(dates(resolvePeriod({ period }, NOW, 'UTC'))).toEqual([from, to])
})

test('last_24h ends now and cuts days', () => {
  const period = resolvePeriod({ period: 'last_24h' }, NOW, 'UTC')
  expect(period.days).toBeNull()
  expect(period.end_at - period.start_at).toBe(86_400_000)
})

test('today is the local date, its instants are local midnights', () => {
  const period = resolvePeriod(
    { period: 'today' },
    Date.parse('2026-11-20T03:00:00Z'),
    'America/Los_Angeles',
  )
  expect(dates(period)).toEqual(['2026-11-19', '2026-11-20'])
  expect(isoTime(period.start_at)).toBe('2026-11-19T08:00:00.000Z')
})

test('a day with a clock change has 23 or 25 hours', () => {
  const spring = resolvePeriod({ from: '2026-03-29', to: '2026-03-30' }, NOW, 'Europe/Berlin')
  expect((spring.end_at - spring.start_at) / 3_600_000).toBe(23)
  const autumn = resolvePeriod({ from: '2026-10-25', to: '2026-10-26' }, NOW, 'Europe/Berlin')
  expect((autumn.end_at - autumn.start_at) / 3_600_000).toBe(25)
})

test('instants on UTC midnights are whole provider days, others are not', () => {
  const whole = { from: '2026-11-01T00:00:00Z', to: '2026-11-02T00:00:00Z' }
  expect(dates(resolvePeriod(whole, NOW, 'Asia/Tokyo'))).toEqual(['2026-11-01', '2026-11-02'])
  const cut = { from: '2026-11-01T01:00:00Z', to: '2026-11-02T00:00:00Z' }
  expect(resolvePeriod(cut, NOW, 'UTC').days).toBeNull()
})

test.each([
  [{ from: '2026-11-05', to: '2026-11-05' }, /empty/],
  [{ from: '2026-11-31' }, /must be a date/],
  [{ from: '05/11/2026' }, /must be a date/],
  [{ from: '2026-11-01T00:00:00' }, /must be a date/],
  [{ to: '2026-11-05' }, /needs "from"/],
  [{ period: 'today', from: '2026-11-05' }, /either period or from/],
] as const)('%j is refused', (request, message) => {
  expect(() => resolvePeriod(request, NOW, 'UTC')).toThrow(message)
})

test.each([
  ['today', '2026-11-19', '2026-11-20'],
  ['last_7d', '2026-11-07', '2026-11-14'],
  ['this_week', '2026-11-09', '2026-11-14'],
  ['last_week', '2026-11-02', '2026-11-09'],
  ['this_month', '2026-10-01', '2026-10-21'],
  ['last_month', '2026-09-01', '2026-10-01'],
] as const)('%s is compared with %s to %s', (period, from, to) => {
  expect(dates(previousPeriod(resolvePeriod({ period }, NOW, 'UTC')))).toEqual([from, to])
})

test('the period before ends where a rolling one begins', () => {
  for (const period of PERIODS) {
    const resolved = resolvePeriod({ period }, NOW, 'UTC')
    expect(previousPeriod(resolved).end_at).toBeLessThanOrEqual(resolved.start_at)
  }
})

import { describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, isoTime } from '../../src/clock.ts'
import type { Range, Report, Variant } from '../../src/providers/provider.ts'
import { cutByVariant, halve, planBackfill, planLive } from '../../src/sync/plan.ts'

const at = (text: string) => Date.parse(text.length > 10 ? text : `${text}T00:00:00Z`)
const NOW = at('2026-11-20T15:30:00Z')

function report(given: Partial<Report> = {}): Report {
  return {
    name: 'cost',
    view: 'cost',
    bucket_ms: DAY_MS,
    window_ms: 31 * DAY_MS,
    every_ms: HOUR_MS,
    lookback_ms: 3 * DAY_MS,
    settle_ms: 0,
    floor: () => Number.NEGATIVE_INFINITY,
    serves_current: true,
    variants: [],
    ...given,
  }
}

const HOURLY = report({
  name: 'usage',
  bucket_ms: HOUR_MS,
  window_ms: 7 * DAY_MS,
  lookback_ms: 6 * HOUR_MS,
})

function progress(given: Partial<Parameters<typeof planLive>[1]> = {}) {
  return {
    watermark: at('2026-11-20'),
    covered_from: at('2026-08-22'),
    backfill_from: at('2026-08-22'),
    deep_read_at: NOW - HOUR_MS,
    ...given,
  }
}

const FRESH = progress({ watermark: null, covered_from: null, deep_read_at: null })

function text(windows: readonly Range[]): string[] {
  const edge = (time: number) => isoTime(time).replace('T00:00:00.000Z', '').replace(':00.000Z', '')
  return windows.map(({ start, end }) => `${edge(start)}..${edge(end)}`)
}

describe('live windows', () => {
  test.each<[string, Report, ReturnType<typeof progress>, number, string[], boolean]>([
    [
      'the first run reads the newest window',
      report(),
      FRESH,
      NOW,
      ['2026-10-21..2026-11-21'],
      true,
    ],
    [
      'and no more than was asked for',
      report(),
      { ...FRESH, backfill_from: at('2026-11-18') },
      NOW,
      ['2026-11-18..2026-11-21'],
      true,
    ],
    [
      'an end in the future still reads the running bucket',
      report(),
      { ...FRESH, backfill_from: at('2026-12-24') },
      NOW,
      ['2026-11-20..2026-11-21'],
      true,
    ],
    ['later runs look back', report(), progress(), NOW, ['2026-11-17..2026-11-21'], false],
    [
      'hours have hours to look back',
      HOURLY,
      progress({ watermark: at('2026-11-20T15:00Z') }),
      NOW,
      ['2026-11-20T09:00..2026-11-20T16:00'],
      false,
    ],
    [
      'a day after the last one, a deep read',
      report(),
      progress({ deep_read_at: NOW - DAY_MS }),
      NOW,
      ['2026-11-10..2026-11-21'],
      true,
    ],
    [
      'nothing is read before what is covered',
      report(),
      progress({ covered_from: at('2026-11-19'), deep_read_at: NOW - DAY_MS }),
      NOW,
      ['2026-11-19..2026-11-21'],
      true,
    ],
    [
      'a report without the running bucket ends at midnight',
      report({ serves_current: false }),
      progress(),
      NOW,
      ['2026-11-17..2026-11-20'],
      false,
    ],
    [
      'just after midnight the new day is begun',
      report(),
      progress(),
      at('2026-11-21T00:00:01Z'),
      ['2026-11-17..2026-11-22'],
      false,
    ],
    [
      'at midnight sharp there is no new day yet',
      report(),
      progress(),
      at('2026-11-21'),
      ['2026-11-17..2026-11-21'],
      false,
    ],
    [
      'a floor holds the start back',
      report({ floor: () => at('2026-11-18T12:00Z') }),
      progress(),
      NOW,
      ['2026-11-19..2026-11-21'],
      false,
    ],
  ])('%s', (_, one, given, now, windows, is_deep) => {
    const plan = planLive(one, given, now)
    expect(text(plan.windows)).toEqual(windows)
    expect(plan.is_deep).toBe(is_deep)
  })

  test.each([
    ['on the 3rd', '2026-12-03T00:10:00Z', '2026-12-02T20:00:00Z', true],
    ['on the 8th', '2026-12-08T09:00:00Z', '2026-12-07T20:00:00Z', true],
    ['on the 5th, if nothing ran on the 3rd', '2026-12-05T09:00:00Z', '2026-12-02T20:00:00Z', true],
    ['not on the 2nd', '2026-12-02T09:00:00Z', '2026-12-01T08:00:00Z', false],
    ['not on the 4th, once it is done', '2026-12-04T09:00:00Z', '2026-12-03T08:00:00Z', false],
  ])('the whole month before is read again %s', (_, now, deep_read_at, is_month) => {
    const given = progress({ watermark: at(now), deep_read_at: at(deep_read_at) })
    const [first] = planLive(report(), given, at(now)).windows
    expect(first && first.start <= at('2026-11-01')).toBe(is_month)
  })

  test('every plan covers the present without gaps, within the window size', () => {
    for (let hour = 0; hour < 24 * 40; hour += 7) {
      const now = at('2026-12-25T00:20:00Z') + hour * HOUR_MS
      for (const one of [report(), HOURLY]) {
        const given = progress({
          watermark: now - ((hour * 13) % 60) * DAY_MS,
          deep_read_at: now - hour * HOUR_MS,
        })
        const { windows } = planLive(one, given, now)
        for (const [i, { start, end }] of windows.entries()) {
          expect(start % one.bucket_ms).toBe(0)
          expect(end - start).toBeLessThanOrEqual(one.window_ms)
          expect(end).toBeGreaterThan(start)
          if (i > 0) expect(start).toBe(windows[i - 1]?.end)
        }
        expect(windows.at(-1)?.end).toBeGreaterThanOrEqual(now)
      }
    }
  })
})

describe('buckets in doubt', () => {
  const doubted = (...days: string[]) =>
    days.map((day) => ({ bucket_start: at(day), is_unplaced: false }))
  test.each([
    ['are read apart', doubted('2026-09-03'), ['2026-09-03..2026-09-04']],
    [
      'share a window where one is long enough',
      doubted('2026-09-20', '2026-09-03'),
      ['2026-09-03..2026-09-21'],
    ],
    [
      'else take two',
      doubted('2026-09-01', '2026-10-20'),
      ['2026-09-01..2026-09-02', '2026-10-20..2026-10-21'],
    ],
    ['come once', doubted('2026-09-03', '2026-09-03'), ['2026-09-03..2026-09-04']],
    ['are nothing apart within the look-back', doubted('2026-11-18'), []],
    [
      'that may be anywhere take their whole window',
      [{ bucket_start: at('2026-09-03'), is_unplaced: true }],
      ['2026-09-03..2026-10-04'],
    ],
    ['before what is covered are left alone', doubted('2026-08-01'), []],
  ])('%s', (_, buckets, windows) => {
    const plan = planLive(report(), progress(), NOW, buckets)
    expect(text(plan.windows)).toEqual([...windows, '2026-11-17..2026-11-21'])
  })
})

describe('the backfill', () => {
  test.each([
    ['goes on before what is covered', {}, '2026-10-21', '2026-09-20..2026-10-21'],
    ['ends where it was asked to', {}, '2026-09-01', '2026-08-22..2026-09-01'],
    ['is done', {}, '2026-08-22', undefined],
    [
      'ends at the floor',
      { floor: () => at('2026-10-10T08:00Z') },
      '2026-10-21',
      '2026-10-11..2026-10-21',
    ],
  ])('%s', (_, given, covered_from, window) => {
    const range = planBackfill(report(given), progress({ covered_from: at(covered_from) }), NOW)
    expect(range && text([range])[0]).toBe(window)
  })
  test('waits for the first live window', () => {
    expect(planBackfill(report(), FRESH, NOW)).toBeUndefined()
  })
})

describe('variants', () => {
  const newer: Variant = {
    grouping: 'new',
    range: () => ({ start: at('2026-01-01'), end: Number.POSITIVE_INFINITY }),
    read: async () => Promise.reject(new Error('not read here')),
  }
  const older: Variant = { grouping: 'old', read: newer.read }
  const cut = (start: string, end: string) =>
    cutByVariant(report({ variants: [newer, older] }), { start: at(start), end: at(end) }, NOW).map(
      ({ range, variants }) => `${text([range])} ${variants.map(({ grouping }) => grouping)}`,
    )

  test('a window is cut where one begins, and each piece has the best first', () => {
    expect(cut('2025-12-20', '2026-01-10')).toEqual([
      '2025-12-20..2026-01-01 old',
      '2026-01-01..2026-01-10 new,old',
    ])
    expect(cut('2026-02-01', '2026-03-01')).toEqual(['2026-02-01..2026-03-01 new,old'])
    expect(cut('2025-12-01', '2026-01-01')).toEqual(['2025-12-01..2026-01-01 old'])
  })
  test('a window is halved on bucket borders, to one bucket at the least', () => {
    const [one, two] = halve({ start: at('2026-11-01'), end: at('2026-11-04') }, DAY_MS) ?? []
    expect(text([one, two].flatMap((half) => half ?? []))).toEqual([
      '2026-11-01..2026-11-02',
      '2026-11-02..2026-11-04',
    ])
    expect(halve({ start: at('2026-11-01'), end: at('2026-11-02') }, DAY_MS)).toBeUndefined()
  })
})

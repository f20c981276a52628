import { describe, expect, test } from 'vitest'
import { DAY_MS, floorTo, HOUR_MS, MINUTE_MS, utcDate } from '../../src/clock.ts'
import { reportStatus } from '../../src/jobs/status.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import type { GroupBy } from '../../src/ledger/spend-query.ts'
import { nanosFromUsd } from '../../src/money.ts'
import { resolvePeriod } from '../../src/period.ts'
import { expectTruth, listVisible, type Outlay, startOutlay, sumCells } from './outlay.ts'
import { has_simulator, type Mode, type Simulator, startSimulator } from './sim.ts'

const ANTHROPIC = { providers: ['anthropic'] }

/** The same organisation, but other reports are open to it from now on. */
async function change(simulator: Simulator, mode: Mode, days: number, seed: number) {
  const { port, now } = simulator
  await simulator.close()
  return startSimulator({ seed, days, mode, now, port })
}

async function groupings({ app }: Outlay): Promise<string[]> {
  const rows = await app.db.selectFrom('sync_stream').select(['stream', 'grouping']).execute()
  return rows.flatMap(({ stream, grouping }) => (stream === 'cost' ? (grouping ?? []) : []))
}

describe.skipIf(!has_simulator)('two generations of reports', () => {
  test('history older than the analytics API comes from the legacy reports, once', async () => {
    const now = Date.parse('2026-01-20T10:00:00Z')
    const simulator = await startSimulator({ seed: 51, days: 60, mode: 'both', now })
    const outlay = await startOutlay(simulator)
    const outcomes = await outlay.sync()
    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    await expectTruth(outlay, simulator, ANTHROPIC)
    // OpenAI's costs before 2025-12-06 name neither project nor key.
    await expectTruth(outlay, simulator, { axes: ['provider', 'day', 'model'] })
    await outlay.sync()
    await expectTruth(outlay, simulator, { axes: ['provider', 'day'] })
  })

  test('where only analytics is open, the backfill ends at its floor without a failure', async () => {
    const now = Date.parse('2026-01-20T10:00:00Z')
    const simulator = await startSimulator({ seed: 51, days: 40, mode: 'analytics', now })
    const outlay = await startOutlay(simulator)
    const [outcome] = await outlay.sync({ provider: 'anthropic' })
    expect(outcome?.failures).toEqual([])
    expect((await reportStatus(outlay.app)).problems).toEqual([])
    const from = Date.parse('2026-01-01')
    const cells = await listVisible(outlay, simulator, ANTHROPIC)
    const recent = cells.filter(({ day }) => Date.parse(day) >= from)
    const answer = await ask(outlay, { from: '2025-12-01', group_by: [], basis: 'billed' })
    expect(nanosFromUsd(answer.total.cost_usd)).toBe(
      sumCells(recent, 'provider').get('anthropic')?.cost,
    )
  })

  test('an organisation that loses the beta, and one that gains it, is never counted twice', async () => {
    const days = 14
    const seed = 52
    let simulator = await startSimulator({ seed, days, mode: 'analytics' })
    const outlay = await startOutlay(simulator)
    await outlay.sync({ provider: 'anthropic' })
    await expectTruth(outlay, simulator, ANTHROPIC)
    simulator = await change(simulator, 'legacy', days, seed)
    await outlay.sync({ provider: 'anthropic' })
    const replaced = floorTo(simulator.now, DAY_MS) - 3 * DAY_MS
    const isLegacy = (day: number) => day >= replaced
    const money = async (is: (day: number) => boolean) => {
      const answer = await ask(outlay, { group_by: ['day'], basis: 'billed' })
      const cells = await listVisible(outlay, simulator, { ...ANTHROPIC, isLegacy: is })
      for (const row of answer.rows)
        expect(nanosFromUsd(String(row['cost_usd'])), String(row['day'])).toBe(
          sumCells(cells, 'day').get(`anthropic ${row['day']}`)?.cost,
        )
    }
    await money(isLegacy)
    expect((await groupings(outlay))[0]).toBe('legacy:v1')
    simulator = await change(simulator, 'both', days, seed)
    await outlay.sync({ provider: 'anthropic' })
    await money(() => false)
    expect((await groupings(outlay))[0]).toBe('analytics:v1')
  })
})

type Asked = { from?: string; group_by: GroupBy[]; basis: 'best' | 'billed'; compare?: boolean }

function ask({ app, clock }: Outlay, { from, compare = false, ...rest }: Asked) {
  const now = clock.now()
  const period = from
    ? resolvePeriod({ from }, now, 'UTC')
    : resolvePeriod({ period: 'last_30d' }, now, 'UTC')
  return answerSpend(app.db, {
    period,
    filter: { provider: ['anthropic'] },
    compare,
    limit: 100,
    now,
    ...rest,
  })
}

describe.skipIf(!has_simulator)('time goes on', () => {
  test('over midnight, the end of a month, and the running day', async () => {
    const now = Date.parse('2026-11-30T22:10:00Z')
    const simulator = await startSimulator({ seed: 53, days: 10, mode: 'analytics', now })
    const outlay = await startOutlay(simulator)
    await outlay.sync()
    await expectTruth(outlay, simulator, { axes: ['day'] })
    for (const minutes of [109, 1, 1, 64, 12 * 60]) {
      await outlay.advance(minutes)
      await outlay.sync({ is_forced: true })
      await expectTruth(outlay, simulator, { axes: ['provider', 'day'] })
    }
    const month = resolvePeriod({ period: 'this_month' }, outlay.clock.now(), 'UTC')
    expect(utcDate(month.days?.start ?? 0)).toBe('2026-12-01')
  })

  test('rows that come late are added when they come', async () => {
    const simulator = await startSimulator({ seed: 54, days: 6, mode: 'legacy' })
    await simulator.control('now', { lag_minutes: { usage: 120, cost: 30 * 60 } })
    const outlay = await startOutlay(simulator)
    // The simulator's OpenRouter knows one delay only, its answer sheet two.
    const providers = ['anthropic', 'openai']
    await outlay.sync()
    await expectTruth(outlay, simulator, { axes: ['day'], providers })
    await simulator.control('now', { lag_minutes: { usage: 5, cost: 5 } })
    await outlay.advance(20)
    await outlay.sync()
    await expectTruth(outlay, simulator, { providers })
  })

  test('the background job reads only what is due, and catches up all the same', async () => {
    const simulator = await startSimulator({ seed: 55, days: 4, mode: 'analytics' })
    const outlay = await startOutlay(simulator)
    await outlay.sync()
    const asked = async () => (await simulator.log()).entries.length
    const before = await asked()
    await outlay.advance(5)
    await outlay.sync({ is_forced: false })
    // Whose key a variable holds is asked only when something is due.
    expect(await asked()).toBe(before)
    await outlay.advance((26 * HOUR_MS) / MINUTE_MS)
    await outlay.sync({ is_forced: false })
    await expectTruth(outlay, simulator, { axes: ['provider', 'day'] })
  })

  test('a key that appears has its name by the next reading of names', async () => {
    const simulator = await startSimulator({ seed: 56, days: 12, mode: 'analytics' })
    const outlay = await startOutlay(simulator)
    await outlay.sync({ provider: 'anthropic' })
    const { rows } = await ask(outlay, { group_by: ['provider_key'], basis: 'billed' })
    const one = rows.find((row) => row['provider_key_id'] === 'apikey_sim13')
    expect(one).toMatchObject({ provider_key: 'launch-day' })
    const users = await ask(outlay, { group_by: ['user'], basis: 'billed' })
    expect(users.rows.map(({ user }) => user)).toContain('bo.lindqvist@example.test')
  })

  test('a backfill says how far it is, and goes on where it was', async () => {
    const simulator = await startSimulator({ seed: 57, days: 80, mode: 'legacy' })
    const outlay = await startOutlay(simulator)
    await simulator.control('fault', {
      match: 'cost_report',
      kind: 'status',
      status: 500,
      times: 99,
    })
    await outlay.sync({ provider: 'anthropic', since: simulator.now - 2 * DAY_MS })
    const failed = await reportStatus(outlay.app)
    expect(
      failed.connections[0]?.streams.find(({ stream }) => stream === 'cost')?.backfill_percent,
    ).toBe(0)
    await simulator.control('reset', {})
    await outlay.sync({ provider: 'anthropic', since: simulator.now - 2 * DAY_MS })
    const stop = { match: 'usage_report/messages', kind: 'status', status: 500, times: 99 }
    await simulator.control('fault', stop)
    await outlay.sync({ provider: 'anthropic' })
    const half = await reportStatus(outlay.app)
    const usage = half.connections[0]?.streams.find(({ stream }) => stream === 'usage')
    expect(usage?.status).toBe('failed')
    expect(usage?.backfill_percent).toBeLessThan(50)
    await simulator.control('reset', {})
    await outlay.sync({ provider: 'anthropic' })
    await expectTruth(outlay, simulator, { ...ANTHROPIC, axes: ['provider', 'day', 'model'] })
    const done = await reportStatus(outlay.app)
    expect(
      done.connections
        .find(({ provider }) => provider === 'anthropic')
        ?.streams.map((one) => one.backfill_percent),
    ).toEqual([100, 100, 100, 100])
  })
})

describe.skipIf(!has_simulator)('answers over the border of two views', () => {
  test('each day is one view; groups, filters and comparison add up to it', async () => {
    const simulator = await startSimulator({ seed: 58, days: 64, mode: 'analytics' })
    const outlay = await startOutlay(simulator)
    await outlay.sync({ provider: 'anthropic' })
    const best = await ask(outlay, { group_by: ['day'], basis: 'best', compare: true })
    expect(best.basis).toBe('mixed')
    const billed = sumCells(await listVisible(outlay, simulator, ANTHROPIC), 'day')
    const border = best.coverage.find(({ basis }) => basis === 'metered')?.['from'] ?? ''
    expect(border).toBe('2026-11-20')
    for (const row of best.rows)
      if (String(row['day']) < border)
        expect(nanosFromUsd(String(row['cost_usd']))).toBe(
          billed.get(`anthropic ${row['day']}`)?.cost,
        )
    const total = nanosFromUsd(best.total.cost_usd)
    for (const group of ['model', 'provider_key', 'workspace', 'user', 'week', 'month'] as const) {
      const { rows, has_more } = await ask(outlay, { group_by: [group], basis: 'best' })
      expect(has_more).toBe(false)
      expect(
        rows.reduce((sum, row) => sum + nanosFromUsd(String(row['cost_usd'])), 0n),
        group,
      ).toBe(total)
    }
    const days = (offset: number) =>
      [...billed].filter(([id]) => {
        const at = Date.parse(id.slice('anthropic '.length))
        const end = floorTo(simulator.now, DAY_MS) + DAY_MS - offset * DAY_MS
        return at < end && at >= end - 30 * DAY_MS
      })
    const before = days(30).reduce((sum, [, { cost }]) => sum + cost, 0n)
    expect(nanosFromUsd(best.previous?.cost_usd ?? '0')).toBe(before)
    const growth = Number(((total - before) * 100_000n) / before) / 1_000
    expect(best.previous?.change_percent).toBeCloseTo(growth, 0)
  })
})

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, MINUTE_MS, utcDate } from '../../src/clock.ts'
import { reportStatus } from '../../src/jobs/status.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import { resolvePeriod } from '../../src/period.ts'
import { expectTruth, type Outlay, ourFigures, startOutlay } from './outlay.ts'
import { has_simulator, type Mode, type Simulator, startSimulator } from './sim.ts'

const DAYS = 36
const HOUR_MINUTES = HOUR_MS / MINUTE_MS
const DAY_MINUTES = DAY_MS / MINUTE_MS

type Restatement = {
  readonly provider: 'anthropic' | 'openai' | 'openrouter'
  readonly back: number
  readonly op: 'scale' | 'remove' | 'move' | 'adjust'
  readonly where?: Readonly<Record<string, string>>
  readonly num?: number
  readonly den?: number
  readonly to?: string
  readonly nano?: number
  readonly dims?: Readonly<Record<string, string>>
}

/** Every operation at every provider, inside every run's look-back and beyond it. */
function restatements(): Restatement[] {
  return ([1, 8] as const).flatMap((back) => [
    { provider: 'anthropic', back, op: 'scale', where: { model: 'claude-opus-5' }, num: 3, den: 2 },
    { provider: 'anthropic', back, op: 'remove', where: { api_key_id: 'apikey_sim05' } },
    {
      provider: 'anthropic',
      back,
      op: 'move',
      where: { api_key_id: 'apikey_sim03' },
      to: 'apikey_sim11',
    },
    { provider: 'anthropic', back, op: 'adjust', nano: 1_234_567_890 },
    { provider: 'anthropic', back: back + 1, op: 'adjust', nano: -987_654_321 },
    {
      provider: 'anthropic',
      back: back + 1,
      op: 'scale',
      where: { service_tier: 'batch' },
      num: 0,
      den: 1,
    },
    { provider: 'openai', back, op: 'scale', where: { model: 'gpt-6-astra' }, num: 1, den: 2 },
    { provider: 'openai', back, op: 'remove', where: { api_key_id: 'key_sim05' } },
    { provider: 'openai', back, op: 'move', where: { api_key_id: 'key_sim01' }, to: 'key_sim09' },
    { provider: 'openai', back, op: 'adjust', nano: -5_000_000_001 },
    { provider: 'openai', back: back + 1, op: 'adjust', nano: 777 },
    {
      provider: 'openrouter',
      back,
      op: 'scale',
      where: { model: 'deepseek/deepseek-v5' },
      num: 2,
      den: 1,
    },
    { provider: 'openrouter', back, op: 'remove', where: { model: 'mistralai/mistral-large-4' } },
    {
      provider: 'openrouter',
      back,
      op: 'move',
      where: { model: 'google/gemini-4-pro' },
      to: 'apikey_or1',
    },
    { provider: 'openrouter', back, op: 'adjust', nano: -42_000_000 },
    { provider: 'openrouter', back: back + 1, op: 'adjust', nano: 42 },
  ])
}

async function restate({ now }: { now: number }, simulator: Simulator, one: Restatement) {
  const { back, ...rest } = one
  const body = { ...rest, day: utcDate(now - back * DAY_MS) }
  const { matched } = (await simulator.control('restate', body)) as { matched: number }
  if (one.op !== 'adjust') expect(matched, JSON.stringify(one)).toBeGreaterThan(0)
}

async function revisions({ app }: Outlay): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*) as n from bucket_revision`.execute(
    app.db,
  )
  return Number(rows[0]?.n)
}

async function notes({ app, clock }: Outlay, simulator: Simulator): Promise<string> {
  const answer = await answerSpend(app.db, {
    period: resolvePeriod({ from: utcDate(simulator.first_day) }, clock.now(), 'UTC'),
    group_by: [],
    filter: {},
    basis: 'best',
    compare: false,
    limit: 1,
    now: clock.now(),
  })
  return answer.notes.join('\n')
}

describe.skipIf(!has_simulator)('what providers restate', () => {
  test.each(['analytics', 'legacy'] as const)(
    '%s: every operation, near and far',
    async (mode: Mode) => {
      const simulator = await startSimulator({ seed: 11, days: DAYS, mode })
      const outlay = await startOutlay(simulator)
      await outlay.sync()
      await expectTruth(outlay, simulator, { axes: ['provider'] })
      const before = await revisions(outlay)
      for (const one of restatements()) await restate(simulator, simulator, one)
      await outlay.advance(DAY_MINUTES)
      await outlay.sync()
      // Hours that lost all their rows are believed at the second look.
      await outlay.advance(HOUR_MINUTES + 1)
      await outlay.sync()
      await expectTruth(outlay, simulator)
      expect(await revisions(outlay)).toBeGreaterThan(before + 100)
      for (const provider of ['anthropic', 'openai', 'openrouter'])
        expect(await notes(outlay, simulator)).toMatch(
          new RegExp(
            `${provider} changed the cost of \\d days? of this period more than 3 days afterwards`,
          ),
        )
      expect((await reportStatus(outlay.app)).problems).toEqual([])
    },
  )

  test('a whole day that vanishes stays until it is confirmed an hour later', async () => {
    const simulator = await startSimulator({ seed: 12, days: 20, mode: 'analytics' })
    const outlay = await startOutlay(simulator)
    await outlay.sync()
    const held = await ourFigures(outlay, simulator, 'day')
    const days = [2, 9].map((back) => utcDate(simulator.now - back * DAY_MS))
    for (const provider of ['anthropic', 'openai', 'openrouter'])
      for (const day of days) await simulator.control('restate', { provider, day, op: 'remove' })
    await outlay.advance(DAY_MINUTES)
    await outlay.sync()
    const doubted = await ourFigures(outlay, simulator, 'day')
    for (const provider of ['anthropic', 'openai', 'openrouter'])
      for (const day of days)
        expect(doubted.get(`${provider} ${day}`), `${provider} ${day}`).toEqual(
          held.get(`${provider} ${day}`),
        )
    expect((await reportStatus(outlay.app)).problems.join('\n')).toMatch(
      /anthropic cost reports nothing any more for 2 buckets that had figures .* They stay until a second read, an hour later, says the same\./,
    )
    await outlay.advance(HOUR_MINUTES - 1)
    await outlay.sync()
    expect((await ourFigures(outlay, simulator, 'day')).get(`openai ${days[0]}`)).toEqual(
      held.get(`openai ${days[0]}`),
    )
    await outlay.advance(2)
    await outlay.sync()
    await expectTruth(outlay, simulator)
    expect((await reportStatus(outlay.app)).problems).toEqual([])
  })

  test('a day that comes back was never lost', async () => {
    const simulator = await startSimulator({ seed: 13, days: 6, mode: 'legacy' })
    const outlay = await startOutlay(simulator)
    await outlay.sync()
    const before = await ourFigures(outlay, simulator, 'day')
    const day = utcDate(simulator.now - 2 * DAY_MS)
    await simulator.control('restate', { provider: 'anthropic', day, op: 'remove' })
    await outlay.sync()
    await simulator.control('reset', {})
    await outlay.sync()
    expect(await ourFigures(outlay, simulator, 'day')).toEqual(before)
    expect((await reportStatus(outlay.app)).problems).toEqual([])
  })

  test('the month before is read again once bills are settled, also by a machine that slept', async () => {
    const now = Date.parse('2026-11-29T10:00:00Z')
    const simulator = await startSimulator({ seed: 14, days: 30, mode: 'analytics', now })
    const outlay = await startOutlay(simulator)
    await outlay.sync()
    const far = { provider: 'anthropic', back: 26, op: 'scale', num: 2, den: 1 } as const
    await restate(simulator, simulator, far)
    await restate(simulator, simulator, {
      provider: 'openai',
      back: 25,
      op: 'adjust',
      nano: 99_000_000_000,
    })
    for (const days of [1, 1]) {
      await outlay.advance(days * DAY_MINUTES)
      await outlay.sync()
    }
    await expect(expectTruth(outlay, simulator, { axes: ['provider'] })).rejects.toThrow()
    // The 3rd passed while it was off.
    await outlay.advance(4 * DAY_MINUTES)
    await outlay.sync()
    await expectTruth(outlay, simulator)
  })
})

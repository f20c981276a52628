import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { changeBudget } from '../../src/budgets/budget.ts'
import { recordCrossings, watchCrossings } from '../../src/budgets/crossing.ts'
import { describeUse, listBudgetUses } from '../../src/budgets/report.ts'
import { DAY_MS, HOUR_MS } from '../../src/clock.ts'
import { createLog } from '../../src/log.ts'
import {
  type BudgetStore,
  event,
  hold,
  makeBudget,
  NOW,
  openBudgetStore,
  openGate,
  request,
  subject,
} from './fixture.ts'

async function look({ db, clock }: BudgetStore): Promise<string[]> {
  const now = clock.now()
  const fresh = await recordCrossings(db, await listBudgetUses(db, now), now)
  return fresh.map(({ budget, member, percent, used_nanos }) =>
    [budget.name, member, percent, used_nanos].filter((part) => part !== '').join(' '),
  )
}

test('a threshold is passed once in a window, with what is held', async () => {
  const store = await openBudgetStore()
  const { id } = await makeBudget(store, { name: 'team', limit_nanos: 100n })
  const gate = await openGate(store)
  onTestFinished(() => gate.close())
  expect(await look(store)).toEqual([])
  const hold_id = await hold(gate, request(55n))
  expect(await look(store)).toEqual(['team 50 55'])
  expect(await look(store)).toEqual([])
  await gate.settle({ hold_id, event: event('one', 10), cost_nanos: 10n })
  await hold(gate, request(90n))
  expect(await look(store)).toEqual(['team 80 100', 'team 100 100'])
  const [use] = await listBudgetUses(store.db, NOW)
  expect(use && describeUse(use, NOW)).toMatchObject({
    passed_percent: 100,
    passed_at: '2026-11-24T10:00:00.000Z',
  })
  // A new limit has thresholds of its own; so has the next window.
  await changeBudget(store.db, id, { limit_nanos: 180n }, { at: NOW, actor: 'test' })
  expect(await look(store)).toEqual(['team 50 100'])
  store.clock.set(NOW + 30 * DAY_MS)
  await hold(gate, request(180n))
  expect(await look(store)).toEqual(['team 50 180', 'team 80 180', 'team 100 180'])
})

test('of a rolling budget once in its length, of a scope with members each its own', async () => {
  const store = await openBudgetStore()
  const thresholds = [50]
  await makeBudget(store, { name: 'roll', period: 'rolling_1h', limit_nanos: 100n, thresholds })
  const scope = { kind: 'user', value: '*' } as const
  await makeBudget(store, { name: 'each', scope, limit_nanos: 1_000n, thresholds: [5] })
  const gate = await openGate(store)
  onTestFinished(() => gate.close())
  const spend = async (user: string) => {
    const asked = request(60n, { subject: subject({ user }) })
    const hold_id = await hold(gate, asked)
    const booked = event(asked.request_id, 60, { user, occurred_at: store.clock.now() })
    await gate.settle({ hold_id, event: booked, cost_nanos: 60n })
  }
  await spend('ada')
  expect(await look(store)).toEqual(['each ada 5 60', 'roll 50 60'])
  store.clock.set(NOW + HOUR_MS / 2)
  expect(await look(store)).toEqual([])
  store.clock.set(NOW + HOUR_MS + 120_000)
  await spend('bob')
  expect(await look(store)).toEqual(['each bob 5 60', 'roll 50 60'])
})

test('the owner looks by itself and logs each once', async () => {
  const store = await openBudgetStore()
  await makeBudget(store, { name: 'team', limit_nanos: 100n, thresholds: [80] })
  const lines: string[] = []
  const watch = watchCrossings({ ...store, log: createLog((line) => lines.push(line)) })
  const gate = await openGate(store)
  await hold(gate, request(85n))
  for (let i = 0; i < 100 && lines.length === 0; i++) await delay(50)
  await hold(gate, request(5n))
  await delay(2_500)
  await watch.close()
  await gate.close()
  expect(lines).toEqual([
    'outlay warning: a budget passed a threshold budget=team percent=80 used_usd=0.000000085 limit_usd=0.000000100 action=block',
  ])
})

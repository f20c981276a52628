import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { changeBudget, removeBudget } from '../../src/budgets/budget.ts'
import { HOUR_MS, MINUTE_MS } from '../../src/clock.ts'
import { openStatements } from '../../src/store/driver.ts'
import {
  event,
  hold,
  makeBudget,
  NOW,
  openBudgetStore,
  openGate,
  request,
  subject,
} from './fixture.ts'

const asked = { at: NOW, actor: 'test' }

describe.each(['better-sqlite3', 'node'] as const)('the gate on %s', (driver) => {
  async function open() {
    const store = await openBudgetStore(driver)
    const gate = await openGate(store)
    const close = gate.close
    return { ...store, gate, close, store }
  }

  test('holds the bound, then charges what it cost', async () => {
    const { gate, store, db } = await open()
    const budget = await makeBudget(store, { limit_nanos: 100n })
    const first = await gate.admit(request(60n))
    expect(first).toMatchObject({ kind: 'admitted', remaining_nanos: 40n })
    expect(await gate.admit(request(60n))).toEqual({
      kind: 'denied',
      reason: 'budget_exceeded',
      affordable_nanos: 40n,
      budget: {
        budget_id: budget.id,
        name: 'all of it',
        limit_nanos: 100n,
        spent_nanos: 0n,
        held_nanos: 60n,
        resets_at: Date.UTC(2026, 11, 1),
      },
    })
    const hold_id = first.kind === 'admitted' ? first.hold_id : null
    await gate.settle({ hold_id, event: event('a', 10), cost_nanos: 10n })
    expect(await gate.admit(request(90n))).toMatchObject({ kind: 'admitted', remaining_nanos: 0n })
    expect(await gate.admit(request(0n))).toMatchObject({ kind: 'admitted' })
    const entries = await db.selectFrom('ledger_entry').select(['id', 'wrapped_key']).execute()
    expect(entries).toEqual([{ id: 'proxy/a', wrapped_key: 'k1' }])
    await gate.close()
  })

  test('lets exactly as many through as fit, whatever comes at once', async () => {
    const { gate, store } = await open()
    await makeBudget(store, { limit_nanos: 70n })
    const all = await Promise.all(Array.from({ length: 256 }, () => gate.admit(request(10n))))
    expect(all.filter(({ kind }) => kind === 'admitted')).toHaveLength(7)
    await gate.close()
  })

  test('two gates on one store share the arithmetic', async () => {
    const { gate, store } = await open()
    const other = await openGate(store)
    await makeBudget(store, { limit_nanos: 100n })
    const gates = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? gate : other))
    const all = await Promise.all(gates.map((one) => one.admit(request(10n))))
    expect(all.filter(({ kind }) => kind === 'admitted')).toHaveLength(10)
    await gate.close()
    await other.close()
  })

  test('settling and releasing twice change nothing', async () => {
    const { gate, store, db } = await open()
    await makeBudget(store, { limit_nanos: 100n })
    const [a, b] = [await hold(gate, request(40n)), await hold(gate, request(40n))]
    for (let i = 0; i < 3; i++) {
      await gate.settle({ hold_id: a, event: event('a', 30), cost_nanos: 30n })
      await gate.release(b)
      await gate.release(a)
    }
    expect(await gate.admit(request(71n))).toMatchObject({ kind: 'denied', affordable_nanos: 70n })
    const spent = await db.selectFrom('budget_spent').select('bucket_start').execute()
    expect(spent).toHaveLength(1)
    await gate.close()
  })

  test('admitting one request twice holds once', async () => {
    const { gate, store } = await open()
    await makeBudget(store, { limit_nanos: 100n })
    const one = request(60n)
    expect(await hold(gate, one)).toBe(await hold(gate, one))
    await gate.close()
  })

  test('an unknown bound is refused only where a blocking budget binds', async () => {
    const { gate, store } = await open()
    await makeBudget(store, { scope: { kind: 'model', value: 'm1' } })
    await makeBudget(store, { name: 'told', action: 'notify', limit_nanos: 0n })
    expect(await gate.admit(request(null))).toMatchObject({ kind: 'denied', reason: 'unbounded' })
    const free = request(null, { subject: subject({ model: 'm2' }) })
    expect(await gate.admit(free)).toEqual({
      kind: 'admitted',
      hold_id: null,
      remaining_nanos: null,
    })
    await gate.close()
  })

  test('an unknown cost keeps the whole hold charged until it becomes known', async () => {
    const { gate, store } = await open()
    await makeBudget(store, { limit_nanos: 100n })
    const hold_id = await hold(gate, request(80n))
    const lost = event('a', 0, { quality: 'missing' })
    await gate.settle({ hold_id, event: lost, cost_nanos: null })
    expect(await gate.admit(request(30n))).toMatchObject({
      budget: { spent_nanos: 80n, held_nanos: 0n },
    })
    await gate.settle({ hold_id, event: lost, cost_nanos: 5n })
    expect(await gate.admit(request(95n))).toMatchObject({ kind: 'admitted' })
    await gate.close()
  })

  test('a changed, new or removed budget binds the next request', async () => {
    const { gate, store, db } = await open()
    expect(await gate.admit(request(10n))).toMatchObject({ hold_id: null })
    const budget = await makeBudget(store, { limit_nanos: 100n })
    await hold(gate, request(60n))
    await changeBudget(db, budget.id, { limit_nanos: 50n }, asked)
    expect(await gate.admit(request(1n))).toMatchObject({
      kind: 'denied',
      affordable_nanos: 0n,
      budget: { limit_nanos: 50n, held_nanos: 60n },
    })
    await changeBudget(db, budget.id, { limit_nanos: 61n }, asked)
    await hold(gate, request(1n))
    await removeBudget(db, budget.id, asked)
    expect(await gate.admit(request(10n))).toMatchObject({ hold_id: null })
    await gate.close()
  })

  test('a budget of later knows what its window has spent and holds', async () => {
    const { gate, store } = await open()
    await gate.settle({ hold_id: null, event: event('a', 7), cost_nanos: 7n })
    const old = event('b', 5, { occurred_at: Date.UTC(2026, 9, 30) })
    await gate.settle({ hold_id: null, event: old, cost_nanos: 5n })
    await makeBudget(store, { name: 'first', limit_nanos: 100n })
    await hold(gate, request(20n))
    const settled = await hold(gate, request(30n))
    await gate.settle({ hold_id: settled, event: event('c', 11), cost_nanos: 11n })
    await makeBudget(store, {
      name: 'second',
      scope: { kind: 'wrapped_key', value: 'k1' },
      limit_nanos: 50n,
    })
    expect(await gate.admit(request(13n))).toMatchObject({
      kind: 'denied',
      budget: { name: 'second', spent_nanos: 18n, held_nanos: 20n },
    })
    await gate.close()
  })

  test('what was let through unheld is charged when a budget came meanwhile', async () => {
    const { gate, store } = await open()
    expect(await gate.admit(request(10n))).toMatchObject({ hold_id: null })
    await makeBudget(store, { limit_nanos: 100n })
    for (let i = 0; i < 2; i++)
      await gate.settle({ hold_id: null, event: event('a', 9), cost_nanos: 9n })
    expect(await gate.admit(request(92n))).toMatchObject({ budget: { spent_nanos: 9n } })
    await gate.close()
  })

  test('what is billed beside a request is in its one charge, also when counted anew', async () => {
    const { gate, store, db } = await open()
    const budget = await makeBudget(store, { limit_nanos: 100n })
    const hold_id = await hold(gate, request(50n))
    const beside = [event('a.1', 4, { model: 'm2' })]
    await gate.settle({ hold_id, event: event('a', 7), beside, cost_nanos: 11n })
    await changeBudget(db, budget.id, { period: 'week' }, asked)
    expect(await gate.admit(request(90n))).toMatchObject({ budget: { spent_nanos: 11n } })
    expect(await db.selectFrom('ledger_entry').select('id').execute()).toHaveLength(2)
    await gate.close()
  })

  test('a hold stays in the window it began in', async () => {
    const { gate, store, clock } = await open()
    await makeBudget(store, { period: 'day', limit_nanos: 100n })
    const hold_id = await hold(gate, request(100n))
    clock.set(NOW + 24 * HOUR_MS)
    await hold(gate, request(100n))
    await gate.settle({ hold_id, event: event('a', 50), cost_nanos: 50n })
    expect(await gate.admit(request(1n))).toMatchObject({
      budget: { spent_nanos: 0n, held_nanos: 100n },
    })
    await gate.close()
  })

  test('a rolling window forgets a minute only when all of it is too old', async () => {
    const { gate, store, clock } = await open()
    await makeBudget(store, { period: 'rolling_5h', limit_nanos: 100n })
    clock.set(NOW + 30_000)
    const hold_id = await hold(gate, request(100n))
    await gate.settle({ hold_id, event: event('a', 90), cost_nanos: 90n })
    const denied = { kind: 'denied', budget: { resets_at: NOW + 5 * HOUR_MS + MINUTE_MS } }
    clock.set(NOW + 5 * HOUR_MS + MINUTE_MS - 1)
    expect(await gate.admit(request(11n))).toMatchObject(denied)
    clock.set(NOW + 5 * HOUR_MS + MINUTE_MS)
    expect(await gate.admit(request(100n))).toMatchObject({ kind: 'admitted' })
    await gate.close()
  })

  test('each session has its own limit under *, and those without one share one', async () => {
    const { gate, store } = await open()
    await makeBudget(store, { scope: { kind: 'session', value: '*' }, limit_nanos: 10n })
    const of = (session: string | null) => request(10n, { subject: subject({ session }) })
    const first = await Promise.all(['a', 'a', 'b', null, null].map((one) => gate.admit(of(one))))
    expect(first.map(({ kind }) => kind)).toEqual([
      'admitted',
      'denied',
      'admitted',
      'admitted',
      'denied',
    ])
    expect(first[1]).toMatchObject({ budget: { name: 'all of it (a)' } })
    await gate.close()
  })

  test('a locked store refuses what a budget binds and lets the rest through', async () => {
    const { gate, store, path, db } = await open()
    await makeBudget(store, { scope: { kind: 'model', value: 'm1' } })
    const held = await hold(gate, request(10n))
    const other = openStatements(path, driver)
    other.prepare('begin immediate').run()
    const free = request(10n, { subject: subject({ model: 'm2' }) })
    const started = Date.now()
    expect(await gate.admit(free)).toMatchObject({ kind: 'admitted', hold_id: null })
    expect(Date.now() - started).toBeLessThan(1_000)
    const booked = gate.settle({ hold_id: held, event: event('a', 3), cost_nanos: 3n })
    expect(await gate.admit(request(10n))).toMatchObject({ kind: 'denied', reason: 'unavailable' })
    await booked
    expect(await db.selectFrom('ledger_entry').selectAll().execute()).toEqual([])
    other.prepare('rollback').run()
    other.close()
    await gate.close()
    const entries = await db.selectFrom('ledger_entry').select('id').execute()
    expect(entries).toEqual([{ id: 'proxy/a' }])
  })

  test('one entry that the store refuses takes no other along', async () => {
    const { gate, store, db } = await open()
    await makeBudget(store)
    const holds = [await hold(gate, request(10n)), await hold(gate, request(10n))]
    const broken = event('bad', 1, { source: 'nowhere' as 'proxy' })
    const results = await Promise.allSettled([
      gate.settle({ hold_id: holds[0] ?? null, event: broken, cost_nanos: 1n }),
      gate.settle({ hold_id: holds[1] ?? null, event: event('good', 1), cost_nanos: 1n }),
    ])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
    expect(await db.selectFrom('hold').select('state').execute()).toEqual([
      { state: 'open' },
      { state: 'settled' },
    ])
    await gate.close()
  })

  test('a hold is in the file when it is admitted', async () => {
    const { gate, store, path } = await open()
    await makeBudget(store)
    await hold(gate, request(10n, { request_id: 'req_on_disk' }))
    expect(readFileSync(`${path}-wal`).includes('req_on_disk')).toBe(true)
    await gate.close()
  })
})

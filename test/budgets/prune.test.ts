import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { changeBudget, listBudgets } from '../../src/budgets/budget.ts'
import { recordCrossings } from '../../src/budgets/crossing.ts'
import { hasOldHolds, pruneHolds } from '../../src/budgets/prune.ts'
import { listBudgetUses } from '../../src/budgets/report.ts'
import { rebuildSpent } from '../../src/budgets/spent.ts'
import { DAY_MS, MINUTE_MS } from '../../src/clock.ts'
import { verifyAudit } from '../../src/keys/audit.ts'
import { migrate } from '../../src/store/migrate.ts'
import type { Db } from '../../src/store/schema.ts'
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

const MUCH = 10n ** 12n
const LATER = NOW + 40 * DAY_MS

/** Every way in which a hold and its entries can differ, and requests that nothing held. */
async function spendInAllWays(store: BudgetStore): Promise<void> {
  const gate = await openGate(store)
  const settle = async (id: string, given: Parameters<typeof request>[1] = {}) => ({
    hold_id: await hold(gate, request(500n, given)),
    event: event(id, 40),
  })
  const plain = await settle('plain')
  await gate.settle({ ...plain, cost_nanos: 40n })
  const tagged = await settle('tagged', { subject: subject({ user: 'ada', tags: { a: '1' } }) })
  const same = { user: 'ada', tags: { a: '1' } }
  await gate.settle({ ...tagged, event: { ...tagged.event, ...same }, cost_nanos: 40n })
  const renamed = await settle('renamed', { subject: subject({ model: 'm1' }) })
  await gate.settle({ ...renamed, event: { ...renamed.event, model: 'm2' }, cost_nanos: 4n })
  const beside = await settle('beside')
  await gate.settle({ ...beside, beside: [event('beside.1', 7)], cost_nanos: 47n })
  const unsure = await settle('unsure')
  await gate.settle({ ...unsure, cost_nanos: null })
  const lowered = await settle('lowered')
  await gate.settle({ ...lowered, cost_nanos: null })
  await gate.settle({ ...lowered, cost_nanos: 33n })
  await gate.release((await settle('released')).hold_id)
  await hold(gate, request(9n))
  await gate.close()
}

async function spentOf(db: Db) {
  return db
    .selectFrom('budget_spent')
    .innerJoin('budget', 'budget.id', 'budget_spent.budget_id')
    .select(['name', 'member', 'bucket_start'])
    .select(({ cast, ref }) => cast<string>(ref('spent_nanos'), 'text').as('spent'))
    .orderBy('name')
    .orderBy('member')
    .orderBy('bucket_start')
    .execute()
}

test('old holds go, and every budget is counted anew to the same sums', async () => {
  const store = await openBudgetStore()
  const { db } = store
  // Booked before there was any budget: no hold was made.
  const early = await openGate(store)
  await early.settle({ hold_id: null, event: event('early', 11), cost_nanos: 11n })
  await early.close()
  const common = { limit_nanos: MUCH }
  const lifetime = { ...common, period: 'lifetime' } as const
  await makeBudget(store, { ...common, name: 'rolling', period: 'rolling_2000h' })
  await makeBudget(store, { ...lifetime, name: 'lifetime' })
  for (const [kind, value] of [
    ['model', '*'],
    ['user', '*'],
    ['tag', 'a=*'],
  ] as const)
    await makeBudget(store, { ...lifetime, name: kind, scope: { kind, value } })
  await spendInAllWays(store)

  const before = await spentOf(db)
  expect(before.find(({ name }) => name === 'lifetime')?.spent).toBe(
    String(11 + 40 + 40 + 4 + 47 + 500 + 33),
  )
  expect(await hasOldHolds(db, NOW + 34 * DAY_MS)).toBe(false)
  // What gets old in an hour goes together.
  expect(await hasOldHolds(db, NOW + 35 * DAY_MS + MINUTE_MS)).toBe(false)
  expect(await hasOldHolds(db, LATER)).toBe(true)
  await pruneHolds(db, LATER)
  expect(await hasOldHolds(db, LATER)).toBe(false)
  const left = await db.selectFrom('hold').select('state').orderBy('id').execute()
  expect(left.map(({ state }) => state)).toEqual(['uncertain', 'open'])

  for (const budget of await listBudgets(db))
    await db.transaction().execute((trx) => rebuildSpent(trx, budget, LATER))
  expect(await spentOf(db)).toEqual(before)
  // Of equal holds and entries nothing is kept: the entry says it all.
  expect(await db.selectFrom('pruned_charge').select(['model', 'minute']).execute()).toHaveLength(2)
  expect(await db.selectFrom('ledger_entry').select('id').execute()).toHaveLength(8)
  expect(await verifyAudit(db)).toBeUndefined()
})

test('the windows and minutes that budgets have left behind go too', async () => {
  const store = await openBudgetStore()
  for (const period of ['rolling_5h', 'day', 'lifetime'] as const)
    await makeBudget(store, { name: period, limit_nanos: MUCH, period })
  await spendInAllWays(store)
  const { db } = store
  for (const { id } of await listBudgets(db))
    await changeBudget(db, id, { limit_nanos: 600n }, { at: NOW, actor: 'test' })
  await recordCrossings(db, await listBudgetUses(db, NOW), NOW)
  const crossings = () => db.selectFrom('budget_crossing').select('percent').execute()
  expect(await crossings()).toHaveLength(9)
  expect(await spentOf(db)).toHaveLength(3)
  await pruneHolds(db, LATER)
  expect(await crossings()).toHaveLength(3)
  expect(await spentOf(db)).toMatchObject([{ name: 'lifetime' }])
})

test('a store from before entries said whether they are held is counted to the same sums', async () => {
  const store = await openBudgetStore()
  const { db, path, driver } = store
  await makeBudget(store, { limit_nanos: MUCH })
  await spendInAllWays(store)
  const before = await spentOf(db)
  await sql`alter table ledger_entry drop column is_held`.execute(db)
  await db.deleteFrom('migration').where('name', '=', '0012-held-entries').execute()

  await migrate(db, { path, driver, now: NOW })
  for (const budget of await listBudgets(db))
    await db.transaction().execute((trx) => rebuildSpent(trx, budget, NOW))
  expect(await spentOf(db)).toEqual(before)
})

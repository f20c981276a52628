import { type CompiledQuery, Kysely, sql } from 'kysely'
import { expect, onTestFinished, test } from 'vitest'
import { changeBudget, createBudget } from '../../src/budgets/budget.ts'
import { settleByEvidence } from '../../src/budgets/evidence.ts'
import { LIST_OPEN_HOLDS } from '../../src/budgets/gate-store.ts'
import { closeLostHolds, hasOverdueHolds } from '../../src/budgets/heal.ts'
import { hasOldHolds } from '../../src/budgets/prune.ts'
import { listBudgetUses } from '../../src/budgets/report.ts'
import { DAY_MS, HOUR_MS } from '../../src/clock.ts'
import { PatientDialect } from '../../src/store/dialect.ts'
import { openDriver } from '../../src/store/driver.ts'
import type { Database, Db } from '../../src/store/schema.ts'
import {
  type BudgetStore,
  catalog,
  event,
  fields,
  hold,
  holder,
  makeBudget,
  NOW,
  openBudgetStore,
  openGate,
  request,
} from './fixture.ts'

test('what is looked up every second reads unsettled holds, not all that there ever were', async () => {
  const store = await openBudgetStore()
  await makeBudget(store, { limit_nanos: 10n ** 9n })
  const gate = await openGate(store)
  await hold(gate, request(5n))
  await gate.settle({
    hold_id: await hold(gate, request(5n)),
    event: event('unsure', 1),
    cost_nanos: null,
  })
  await gate.settle({
    hold_id: await hold(gate, request(5n)),
    event: event('over', 1),
    cost_nanos: 1n,
  })
  await gate.close()
  const { db, made } = recording(store)

  const later = NOW + DAY_MS
  expect(await hasOverdueHolds(db, later)).toBe(true)
  await listBudgetUses(db, later)
  await hasOldHolds(db, later)
  await settleByEvidence(db, later + HOUR_MS)
  expect(await closeLostHolds({ db, holder: holder(), catalog, now: later })).toBe(1)

  const looks = made.filter(({ sql: text }) => /\bhold\b/.test(text))
  const plans = await Promise.all(
    [...looks, { sql: LIST_OPEN_HOLDS }].map((query) => planOf(store.db, query)),
  )
  expect(looks.length).toBeGreaterThan(5)
  expect(plans.flat().filter((step) => /SCAN hold(?! USING INDEX)/.test(step))).toEqual([])
})

test('a new budget is counted in one go, and a new limit counts nothing anew', async () => {
  const store = await openBudgetStore()
  const asked = { at: NOW, actor: 'test' }
  const { db, made } = recording(store)
  const facts = () => made.splice(0).filter(({ sql: text }) => /\b(hold|ledger_entry)\b/.test(text))

  const budget = await createBudget(db, fields(), asked)
  const [query, ...others] = facts()
  expect(others).toEqual([])
  const plan = await planOf(store.db, query ?? { sql: '' })
  expect(plan).toContain('SEARCH hold USING INDEX hold_time (admitted_at>?)')
  expect(plan.filter((step) => /SUBQUERY [0-9]/.test(step))).toEqual([])

  await changeBudget(db, budget.id, { limit_nanos: 5n, name: 'less', thresholds: [] }, asked)
  await changeBudget(db, budget.id, { action: 'notify', period: 'day' }, asked)
  expect(facts()).toEqual([])
  await changeBudget(db, budget.id, { action: 'block' }, asked)
  await changeBudget(db, budget.id, { zone: 'Asia/Tokyo' }, asked)
  expect(facts()).toHaveLength(2)
})

/** The same store, and every query that was made of it. */
function recording({ path, driver }: BudgetStore) {
  const made: CompiledQuery[] = []
  const db = new Kysely<Database>({
    dialect: new PatientDialect({ database: openDriver(path, driver) }),
    log({ query }) {
      made.push(query)
    },
  })
  onTestFinished(() => db.destroy())
  return { db, made }
}

/** Without its parameters, which change no plan. */
async function planOf(db: Db, { sql: text }: Pick<CompiledQuery, 'sql'>): Promise<string[]> {
  if (!/^\s*(select|update|delete)\b/i.test(text)) return []
  const { rows } = await sql
    .raw<{ detail: string }>(`explain query plan ${text.replaceAll('?', 'null')}`)
    .execute(db)
  return rows.map(({ detail }) => detail)
}

test('there are never more budgets than are listed', async () => {
  const store = await openBudgetStore()
  await sql`insert into budget (id, name, scope, scope_value, period, zone, week_start, limit_nanos, action,
      thresholds, created_at, updated_at)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
    select 'bud_' || i, 'b' || i, 'user', 'u' || i, 'day', 'UTC', 1, 5, 'block', '[]', 0, 0 from n`.execute(
    store.db,
  )
  await expect(makeBudget(store)).rejects.toThrow('5000 budgets, and no more')
})

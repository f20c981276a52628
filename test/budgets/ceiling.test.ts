import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Gate } from '../../src/budgets/admission.ts'
import { type Budget, changeBudget, listBudgets } from '../../src/budgets/budget.ts'
import { closeLostHolds } from '../../src/budgets/heal.ts'
import type { Scope } from '../../src/budgets/scope.ts'
import { rebuildSpent } from '../../src/budgets/spent.ts'
import { windowAt } from '../../src/budgets/window.ts'
import { HOUR_MS, MINUTE_MS } from '../../src/clock.ts'
import {
  type BudgetStore,
  catalog,
  event,
  holder,
  makeBudget,
  NOW,
  openGate,
  openTemporary,
  request,
  subject,
} from './fixture.ts'
import { type Step, steps } from './steps.ts'

/**
 * The ceiling, precisely. For every blocking budget and every commit: no admission of a bound above
 * zero leaves `spent + held` above the limit; nothing but an admission makes `spent + held` of a window
 * grow. So after every commit it is at most the limit, or, where the limit was lowered or the budget
 * made below what was spent and held already, at most what that was.
 */
const DEADLINE_MS = 10 * MINUTE_MS

type Request = {
  readonly model: string
  readonly session: string
  readonly bound: bigint
  readonly at: number
  readonly gate: number
  /** Undefined while it is open: then the bound counts. */
  cost: bigint | undefined
  readonly hold_id: string
  readonly name: string
}

/** What the store must agree with: every request by itself, added up by the definition. */
function usedOf(budget: Budget, requests: readonly Request[], now: number): bigint {
  const window = windowAt(budget, now)
  let used = 0n
  for (const one of requests) {
    if (budget.scope.kind === 'model' && one.model !== budget.scope.value) continue
    if (budget.scope.kind === 'session' && one.session !== 's1') continue
    const is_rolling = budget.period.startsWith('rolling')
    if (one.cost === undefined && is_rolling) used += one.bound
    else if (one.at >= window.start && (window.end === null || one.at < window.end))
      used += one.cost ?? one.bound
  }
  return used
}

type World = {
  readonly store: BudgetStore
  readonly gates: Gate[]
  readonly pids: number[]
  readonly dead: Set<number>
  readonly requests: Request[]
  /** What an overspent window may hold at most, by budget. */
  readonly excess: Map<string, bigint>
}

const BUDGETS: readonly { scope: Scope; period: Budget['period']; limit: bigint }[] = [
  { scope: { kind: 'all', value: '' }, period: 'day', limit: 150n },
  { scope: { kind: 'model', value: 'm1' }, period: 'rolling_1h', limit: 90n },
  { scope: { kind: 'session', value: '*' }, period: 'lifetime', limit: 200n },
]

describe.each(['better-sqlite3', 'node'] as const)('the ceiling on %s', (driver) => {
  test('holds through any interleaving of holds, settlements, crashes and changes', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (walk) => {
        const { store, close } = await openTemporary(driver)
        try {
          await walkThrough(store, walk)
        } finally {
          await close()
        }
      }),
      { numRuns: 40 },
    )
  }, 120_000)
})

async function walkThrough(store: BudgetStore, walk: readonly Step[]): Promise<void> {
  for (const [i, { scope, period, limit }] of BUDGETS.entries())
    await makeBudget(store, { name: `b${i}`, scope, period, limit_nanos: limit })
  const world: World = {
    store,
    gates: [],
    pids: [],
    dead: new Set(),
    requests: [],
    excess: new Map(),
  }
  for (const place of [0, 1]) await startGate(world, place)
  for (const step of walk) {
    await take(world, step)
    await check(world)
  }
  for (const gate of world.gates) await gate.close()
}

let pids = 5_000

async function startGate(world: World, place: number): Promise<void> {
  pids += 1
  world.pids[place] = pids
  world.gates[place] = await openGate(world.store, { holder: holder(pids, world.dead) })
}

async function take(world: World, step: Step): Promise<void> {
  const { store, requests } = world
  const now = store.clock.now()
  const open = requests.filter(({ cost }) => cost === undefined)
  const picked = 'pick' in step ? open[step.pick % Math.max(open.length, 1)] : undefined
  if (step.do === 'admit') await admit(world, step)
  else if (step.do === 'wait') store.clock.set(now + step.minutes * MINUTE_MS)
  else if (step.do === 'crash') await crash(world, step.gate)
  else if (step.do === 'heal') await heal(world)
  else if (step.do === 'limit') await setLimit(world, step)
  else if (picked) await finish(world, picked, step)
}

async function admit(world: World, step: Extract<Step, { do: 'admit' }>): Promise<void> {
  const { store, gates, requests } = world
  const gate = gates[step.gate]
  const model = ['m1', 'm2'][step.model] ?? 'm1'
  const session = ['s1', 's2'][step.session] ?? 's1'
  const at = store.clock.now()
  const deadline_at = at + DEADLINE_MS
  const asked = step.bounds.map((bound) =>
    request(BigInt(bound), { deadline_at, subject: subject({ model, session }) }),
  )
  const answers = await Promise.all(asked.map((one) => gate?.admit(one)))
  for (const [i, answer] of answers.entries()) {
    const bound = asked[i]?.bound_nanos ?? 0n
    const name = asked[i]?.request_id ?? ''
    if (answer?.kind === 'admitted' && answer.hold_id !== null)
      requests.push({
        model,
        session,
        bound,
        at,
        gate: step.gate,
        cost: undefined,
        hold_id: answer.hold_id,
        name,
      })
    else await checkDenial(world, answer?.kind === 'denied' ? answer : undefined, bound)
  }
}

type Denied = Extract<Awaited<ReturnType<Gate['admit']>>, { kind: 'denied' }>

/** No false block: what was refused would indeed not have fitted, by what the refusing budget says. */
async function checkDenial(world: World, denied: Denied | undefined, bound: bigint): Promise<void> {
  expect(denied?.reason).toBe('budget_exceeded')
  const state = denied?.budget
  if (!state) throw new Error('a denial without a budget')
  expect(state.spent_nanos + state.held_nanos + bound).toBeGreaterThan(state.limit_nanos)
  if (state.name.includes('s2')) return
  const budget = (await listBudgets(world.store.db)).find(({ id }) => id === state.budget_id)
  if (!budget) throw new Error('a denial by no budget')
  const used = usedOf(budget, world.requests, world.store.clock.now())
  expect(used).toBeGreaterThanOrEqual(state.spent_nanos)
}

async function finish(world: World, picked: Request, step: Step): Promise<void> {
  const gate = world.gates[picked.gate]
  const { hold_id, bound, name } = picked
  if (step.do === 'release') {
    await gate?.release(hold_id)
    picked.cost = 0n
  } else if (step.do === 'lose') {
    const lost = event(name, 0, { quality: 'missing', occurred_at: picked.at })
    await gate?.settle({ hold_id, event: lost, cost_nanos: null })
    picked.cost = bound
  } else if (step.do === 'settle') {
    const cost = (bound * BigInt(step.percent)) / 100n
    const settlement = {
      hold_id,
      event: event(name, Number(cost), { model: picked.model, occurred_at: picked.at }),
      cost_nanos: cost,
    }
    await Promise.all([gate?.settle(settlement), step.twice ? gate?.settle(settlement) : undefined])
    picked.cost = cost
  }
}

/** The process is gone: what it held stays held, and nobody will settle it. */
async function crash(world: World, place: number): Promise<void> {
  world.dead.add(world.pids[place] ?? 0)
  await world.gates[place]?.close()
  await startGate(world, place)
}

async function heal({ store, dead, requests }: World): Promise<void> {
  const now = store.clock.now() + DEADLINE_MS
  store.clock.set(now)
  await closeLostHolds({ db: store.db, holder: holder(undefined, dead), catalog, now })
  const rows = await store.db.selectFrom('hold').select(['request_id', 'state']).execute()
  for (const one of requests) {
    const row = rows.find(({ request_id }) => request_id === one.name)
    if (row?.state === 'uncertain' && one.cost === undefined) {
      expect(one.at + DEADLINE_MS).toBeLessThanOrEqual(now)
      one.cost = one.bound
    }
  }
}

async function setLimit(world: World, step: Extract<Step, { do: 'limit' }>): Promise<void> {
  const { store } = world
  const budgets = await listBudgets(store.db)
  const budget = budgets[step.budget % budgets.length]
  if (!budget) return
  await changeBudget(
    store.db,
    budget.id,
    { limit_nanos: BigInt(step.limit) },
    { at: store.clock.now(), actor: 'test' },
  )
  world.excess.set(budget.id, await storedUse(store, budget))
}

async function check(world: World): Promise<void> {
  const { store, requests, excess } = world
  const now = store.clock.now()
  for (const budget of await listBudgets(store.db)) {
    const used = await storedUse(store, budget)
    const exact = usedOf(budget, requests, now)
    // A rolling budget may count up to a minute more than its window holds, never less.
    if (budget.period === 'rolling_1h') expect(used).toBeGreaterThanOrEqual(exact)
    else expect(used).toBe(exact)
    const ceiling = excess.get(budget.id) ?? 0n
    expect(used).toBeLessThanOrEqual(ceiling > budget.limit_nanos ? ceiling : budget.limit_nanos)
    if (used <= budget.limit_nanos) excess.delete(budget.id)
    else excess.set(budget.id, used)
    await checkProjection(store, budget)
  }
}

/** Dropped and made again from the facts, the projection is the same. */
async function checkProjection(store: BudgetStore, budget: Budget): Promise<void> {
  const before = await listSpent(store, budget)
  const trx = await store.db.startTransaction().execute()
  await rebuildSpent(trx, budget, store.clock.now())
  const after = await listSpent({ ...store, db: trx }, budget)
  // Nobody is to read anew what they must know by themselves.
  await trx.rollback().execute()
  expect(after).toEqual(before)
}

async function listSpent({ db, clock }: Pick<BudgetStore, 'db' | 'clock'>, budget: Budget) {
  const rows = await db
    .selectFrom('budget_spent')
    .select((eb) => ['member', 'bucket_start', eb.cast<string>('spent_nanos', 'text').as('spent')])
    .where('budget_id', '=', budget.id)
    .where('bucket_start', '>=', windowAt(budget, clock.now()).start)
    .orderBy('member')
    .orderBy('bucket_start')
    .execute()
  return rows.filter(({ spent }) => spent !== '0')
}

/** `spent + held` of one budget, from the rows alone; of a session budget that of `s1`. */
async function storedUse(store: BudgetStore, budget: Budget): Promise<bigint> {
  const { start, end } = windowAt(budget, store.clock.now())
  const is_session = budget.scope.kind === 'session'
  const spent = (await listSpent(store, budget)).filter(({ member }) =>
    is_session ? member === 's1' : true,
  )
  const held = await store.db
    .selectFrom('hold')
    .select((eb) => [
      'model',
      'session_id',
      'admitted_at',
      eb.cast<string>('bound_nanos', 'text').as('bound'),
    ])
    .where('state', '=', 'open')
    .execute()
  const bounds = held.filter(
    (one) =>
      (!is_session || one.session_id === 's1') &&
      (budget.scope.kind !== 'model' || one.model === budget.scope.value) &&
      (budget.period.startsWith('rolling') ||
        (one.admitted_at >= start && (end === null || one.admitted_at < end))),
  )
  return [...spent.map((row) => row.spent), ...bounds.map(({ bound }) => bound)].reduce(
    (sum, text) => sum + BigInt(text),
    0n,
  )
}

test('the hour of a rolling budget is an hour', () => {
  const calendar = { period: 'rolling_1h', zone: 'UTC', week_start: 1 } as const
  expect(windowAt(calendar, NOW)).toEqual({ start: NOW - HOUR_MS, end: null })
})

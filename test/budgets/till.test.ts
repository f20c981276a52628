import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Operation, run } from '../../src/budgets/batch.ts'
import { changeBudget } from '../../src/budgets/budget.ts'
import { type GateStore, openGateStore } from '../../src/budgets/gate-store.ts'
import { closeLostHolds } from '../../src/budgets/heal.ts'
import { createTill, peek, refresh, type Till } from '../../src/budgets/till.ts'
import { DAY_MS, MINUTE_MS } from '../../src/clock.ts'
import {
  type BudgetStore,
  catalog,
  event,
  holder,
  makeBudget,
  openTemporary,
  request,
  subject,
} from './fixture.ts'

type Process = { readonly till: Till; lists: number; close(): void }

function startProcess({ path, driver }: BudgetStore, owner: string): Process {
  const gate_store = openGateStore(path, driver, catalog)
  const store: GateStore = {
    ...gate_store,
    listBlocking() {
      one.lists += 1
      return gate_store.listBlocking()
    },
  }
  const till = createTill({ store, owner, onOvershoot() {} })
  const one = { till, lists: 0, close: () => gate_store.close() }
  return one
}

const SUBJECTS = [
  subject(),
  subject({ wrapped_key: 'k2', session: 's1' }),
  subject({ wrapped_key: null, session: 's2' }),
]
const small = fc.nat(9)
const deeds = fc.array(
  fc.record({
    process: fc.nat(1),
    deed: fc.constantFrom(
      'admit',
      'admit',
      'settle',
      'unsure',
      'unheld',
      'release',
      'heal',
      'wait',
    ),
    who: fc.nat(SUBJECTS.length - 1),
    pick: small,
    amount: fc.nat(40),
  }),
  { minLength: 5, maxLength: 40 },
)

test('two processes that write in turn know what a third one reads, and list the budgets once', async () => {
  await fc.assert(
    fc.asyncProperty(deeds, async (walk) => {
      const { store, close } = await openTemporary('better-sqlite3')
      await makeBudget(store, { name: 'all' })
      await makeBudget(store, { name: 'hour', period: 'rolling_1h', limit_nanos: 300n })
      for (const [kind, period] of [
        ['wrapped_key', 'day'],
        ['session', 'lifetime'],
      ] as const)
        await makeBudget(store, { name: kind, period, scope: { kind, value: '*' } })
      const processes = ['own_a', 'own_b'].map((owner) => startProcess(store, owner))
      const held: string[] = []
      for (const [i, one] of walk.entries()) {
        const { till } = processes[one.process] as Process
        await act(store, till, held, { ...one, id: `e${i}` })
        for (const other of processes) expectSameAsRead(store, other.till)
      }
      expect(processes.map(({ lists }) => lists)).toEqual([1, 1])
      const [budget] = await store.db.selectFrom('budget').select('id').execute()
      const asked = { at: store.clock.now(), actor: 'test' }
      await changeBudget(store.db, budget?.id ?? '', { limit_nanos: 7n }, asked)
      for (const { till } of processes) expectSameAsRead(store, till)
      expect(processes.map(({ lists }) => lists)).toEqual([2, 2])
      for (const one of processes) one.close()
      await close()
    }),
    { numRuns: 30 },
  )
}, 60_000)

type Deed = { deed: string; who: number; pick: number; amount: number; id: string }

async function act(
  { db, clock }: BudgetStore,
  till: Till,
  held: string[],
  { deed, who, pick, amount, id }: Deed,
): Promise<void> {
  const now = clock.now()
  const cost = BigInt(amount)
  const apply = (operation: Operation) => run(till, [operation], now)[0]
  const hold_id = held[pick % held.length] ?? null
  if (deed === 'wait') clock.set(now + (amount % 2 ? DAY_MS : 20 * MINUTE_MS))
  if (deed === 'heal') await closeLostHolds({ db, holder: holder(), catalog, now: now + DAY_MS })
  if (deed === 'admit') {
    const given = { subject: SUBJECTS[who] ?? subject(), deadline_at: now }
    const admission = apply({ kind: 'admit', request: request(cost, given) })
    if (admission?.kind === 'admitted' && admission.hold_id) held.push(admission.hold_id)
  }
  if (deed === 'release' && hold_id) apply({ kind: 'release', hold_id })
  const cost_nanos = deed === 'unsure' ? null : cost
  const booked = { event: event(id, amount, { occurred_at: now }), cost_nanos }
  if (deed === 'unheld') apply({ kind: 'settle', settlement: { ...booked, hold_id: null } })
  if (hold_id && (deed === 'settle' || deed === 'unsure'))
    apply({ kind: 'settle', settlement: { ...booked, hold_id } })
}

function expectSameAsRead(store: BudgetStore, till: Till): void {
  const now = store.clock.now()
  const fresh = startProcess(store, 'own_c')
  for (const one of [till, fresh.till]) refresh(one, now)
  for (const who of SUBJECTS) expect(peek(till, who, now)).toEqual(peek(fresh.till, who, now))
  expect([...till.open.keys()].sort()).toEqual([...fresh.till.open.keys()].sort())
  fresh.close()
}

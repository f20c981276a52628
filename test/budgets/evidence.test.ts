import { expect, test } from 'vitest'
import { settleByEvidence } from '../../src/budgets/evidence.ts'
import { closeLostHolds, hasOverdueHolds } from '../../src/budgets/heal.ts'
import { DAY_MS, floorTo, HOUR_MS } from '../../src/clock.ts'
import { verifyAudit } from '../../src/keys/audit.ts'
import { addPending } from '../../src/ledger/pending-usage.ts'
import { rebuildDays } from '../../src/ledger/rollup.ts'
import {
  type BudgetStore,
  catalog,
  event,
  hold,
  holder,
  makeBudget,
  NOW,
  openBudgetStore,
  openGate,
  request,
} from './fixture.ts'

const DAY = floorTo(NOW, DAY_MS)
const LATER = DAY + DAY_MS + 13 * HOUR_MS

/** The provider's report of the day, in tokens of a nano-dollar each. */
async function report({ db }: BudgetStore, tokens: number): Promise<void> {
  const at = { created_at: NOW, updated_at: NOW }
  await db
    .insertInto('connection')
    .values({
      id: 'con_1',
      provider: 'openai',
      name: 'default',
      origin: 'environment',
      fingerprint: 'x',
      ...at,
    })
    .execute()
  const { id: stream_id } = await db
    .insertInto('sync_stream')
    .values({
      connection_id: 'con_1',
      stream: 'usage',
      view: 'usage',
      settle_ms: 0,
      watermark: DAY + DAY_MS,
      covered_from: DAY,
      succeeded_at: LATER,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  const { id: series_id } = await db
    .insertInto('series')
    .values({ stream_id, grouping: 'g', dims: '{}', model: 'm1' })
    .returning('id')
    .executeTakeFirstOrThrow()
  await db
    .insertInto('usage_bucket')
    .values({
      stream_id,
      series_id,
      bucket_start: DAY,
      bucket_ms: DAY_MS,
      output_tokens: tokens,
      requests: 1,
      cost_nanos: BigInt(tokens),
      price_rule: 'test',
      observed_at: LATER,
    } as never)
    .execute()
  await db.transaction().execute((trx) => rebuildDays(trx, 'con_1', [DAY]))
}

/** One request that was accounted for 40, and two of 30 each that were lost with their process. */
async function loseTwo() {
  const store = await openBudgetStore()
  await makeBudget(store, { limit_nanos: 100n })
  const dead = new Set([7])
  const gate = await openGate(store, { holder: holder(7, dead) })
  const known = await hold(gate, request(40n))
  await gate.settle({ hold_id: known, event: event('known', 40), cost_nanos: 40n })
  await hold(gate, request(30n))
  await hold(gate, request(30n))
  await gate.close()
  await closeLostHolds({ db: store.db, holder: holder(8, dead), catalog, now: NOW + HOUR_MS })
  store.clock.set(LATER)
  const next = await openGate(store)
  const spent = async () => {
    const answer = await next.admit(request(1_000n))
    return answer.kind === 'denied' ? answer.budget?.spent_nanos : undefined
  }
  return { store, spent, close: next.close }
}

test('lost requests stay charged at their most until the provider says less', async () => {
  const { store, spent, close } = await loseTwo()
  expect(await spent()).toBe(100n)
  expect(await settleByEvidence(store.db, LATER)).toBe(0)
  await report(store, 52)
  expect(await settleByEvidence(store.db, LATER)).toBe(2)
  expect(await spent()).toBe(52n)
  expect(await settleByEvidence(store.db, LATER)).toBe(0)
  expect(await verifyAudit(store.db)).toBeUndefined()
  const audit = await store.db.selectFrom('audit').select(['action', 'detail']).execute()
  expect(audit.at(-1)).toEqual({
    action: 'hold.evidence',
    detail: '{"holds":2,"lowered_usd":"0.000000048"}',
  })
  await close()
})

test.each([
  ['a report of another organisation', 39],
  ['other traffic of the same account', 200],
])('%s lowers nothing', async (_, tokens) => {
  const { store, spent, close } = await loseTwo()
  await report(store, tokens)
  expect(await settleByEvidence(store.db, LATER)).toBe(0)
  expect(await spent()).toBe(100n)
  await close()
})

test('a lost request has an entry without a cost', async () => {
  const { store, close } = await loseTwo()
  const entries = await store.db
    .selectFrom('ledger_entry')
    .select(['id', 'unpriced_reason'])
    .where('price_rule', 'is', null)
    .execute()
  expect(entries).toEqual([
    { id: 'proxy/hold/2', unpriced_reason: 'the usage of this request is not known' },
    { id: 'proxy/hold/3', unpriced_reason: 'the usage of this request is not known' },
  ])
  await close()
})

test('a job whose usage is still to be told is not lost, however late it is', async () => {
  const store = await openBudgetStore()
  await makeBudget(store, { limit_nanos: 100n })
  const dead = new Set([7])
  const gate = await openGate(store, { holder: holder(7, dead) })
  const hold_id = await hold(gate, request(30n))
  await hold(gate, request(20n))
  await gate.close()
  await addPending(store.db, {
    provider: 'openai',
    job_id: 'resp_1',
    api: 'responses',
    wrapped_key: 'k1',
    hold_id,
    event: event('job', 0),
    path: '/responses/resp_1',
    next_poll_at: NOW,
    deadline_at: NOW + HOUR_MS,
  })
  const parts = { db: store.db, holder: holder(8, dead), catalog, now: NOW + 3 * DAY_MS }
  expect(await hasOverdueHolds(store.db, parts.now)).toBe(true)
  expect(await closeLostHolds(parts)).toBe(1)
  expect(await hasOverdueHolds(store.db, parts.now)).toBe(false)
  const states = await store.db.selectFrom('hold').select('state').orderBy('id').execute()
  expect(states.map(({ state }) => state)).toEqual(['open', 'uncertain'])
  const next = await openGate(store)
  await next.settle({ hold_id, event: event('job', 12), cost_nanos: 12n })
  await next.close()
  const entries = await store.db.selectFrom('ledger_entry').select('id').execute()
  expect(entries).toHaveLength(2)
})

import fc from 'fast-check'
import { sql } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import { HOUR_MS } from '../../src/clock.ts'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { settlePending } from '../../src/ledger/pending.ts'
import { rebuildEntries } from '../../src/ledger/rebuild.ts'
import { recordEvents } from '../../src/ledger/record.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'
import { NO_USAGE } from '../../src/usage.ts'

const NOW = Date.parse('2026-11-20T12:00:00Z')
const catalog = loadCatalog()

function event(id: string, given: Partial<UsageEvent>): UsageEvent {
  return {
    id,
    source: 'otlp',
    signal: 'logs',
    client: 'claude-code',
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    occurred_at: NOW - 60_000,
    session_id: 's1',
    request_id: null,
    user: null,
    project: null,
    billing_mode: 'api',
    service_tier: null,
    speed: null,
    usage: { ...NO_USAGE, requests: 1, uncached_input_tokens: 100 },
    reported_cost_nanos: null,
    tags: {},
    ...given,
  }
}

const SOURCES = {
  proxy: { source: 'proxy', signal: null },
  otlp: {},
  fallback: { signal: 'spans', is_fallback: true },
  local: { source: 'local_log', signal: null },
} as const satisfies Record<string, Partial<UsageEvent>>

async function openLedger() {
  const { db, close } = await openStore({ path: ':memory:', driver: 'better-sqlite3', now: NOW })
  onTestFinished(close)
  return {
    db,
    record: (...events: UsageEvent[]) => recordEvents(db, catalog, events, NOW),
    async counted() {
      const { rows } = await sql<{ id: string }>`
        select id from ledger_entry where superseded_by is null order by id`.execute(db)
      return rows.map(({ id }) => id)
    },
    async dump() {
      const tables = ['ledger_entry', 'telling', 'rollup_entry']
      const rows = [
        ...tables.map((table) => sql`select * from ${sql.table(table)} order by 1, 2, 3, 4`),
        sql`select *, 0 as id from rollup_session order by session_id, client, source, model`,
        sql`select cell.*, part.*, 0 as id, 0 as cell_id from rollup_session cell
          join rollup_session_quarter part on cell_id = id
          order by session_id, client, source, model, quarter`,
      ]
      const all = []
      for (const query of rows) all.push((await query.execute(db)).rows)
      return JSON.stringify(all, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
    },
  }
}

describe('of entries with the same request id', () => {
  const seen = (Object.keys(SOURCES) as (keyof typeof SOURCES)[]).map((name) =>
    event(name, { ...SOURCES[name], request_id: 'req_1' }),
  )
  const orders = [seen, seen.toReversed(), [seen[2], seen[0], seen[3], seen[1]]]

  test.each(orders.map((order) => order.flatMap((one) => one ?? [])))(
    'the highest source counts: %#',
    async (...order) => {
      const { record, counted } = await openLedger()
      for (const one of order) await record(one)
      expect(await counted()).toEqual(['proxy'])
    },
  )

  test('what the proxy forwarded counts each time, whatever ids a server gives', async () => {
    const { record, counted, db } = await openLedger()
    const ids = { request_id: 'req_1', response_id: 'chatcmpl-1' }
    for (const id of ['b', 'a', 'a.1']) await record(event(id, { ...SOURCES.proxy, ...ids }))
    await record(event('span', { response_id: 'chatcmpl-1' }))
    expect(await counted()).toEqual(['a', 'a.1', 'b'])
    await rebuildEntries(db, catalog)
    expect(await counted()).toEqual(['a', 'a.1', 'b'])
  })

  test('an id that a server gives again hours later is of another request', async () => {
    const { record, counted } = await openLedger()
    const later = (hours: number) => ({ occurred_at: NOW + hours * HOUR_MS })
    await record(event('a', { response_id: 'chatcmpl-7' }))
    await record(event('b', { response_id: 'chatcmpl-7', ...later(1) }))
    await record(event('c', { response_id: 'chatcmpl-7', ...later(5) }))
    await record(event('d', { ...SOURCES.proxy, response_id: 'chatcmpl-7', ...later(9) }))
    expect(await counted()).toEqual(['a', 'c', 'd'])
  })

  test('the one id of a test server identifies nothing, in any order', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `s${String(i).padStart(2, '0')}`)
    const spans = ids.map((id) => event(id, { session_id: id, response_id: 'chatcmpl-123' }))
    for (const order of [spans, spans.toReversed()]) {
      const { record, counted, db } = await openLedger()
      for (const one of order.slice(0, 16)) await record(one)
      expect(await counted()).toHaveLength(1)
      await record(...order.slice(16))
      expect(await counted()).toEqual(ids)
      await rebuildEntries(db, catalog)
      expect(await counted()).toEqual(ids)
    }
  })

  test('what else tells of a test server never counts beside the proxy', async () => {
    const { record, counted } = await openLedger()
    const spans = Array.from({ length: 20 }, (_, i) =>
      event(`s${i}`, { session_id: `s${i}`, response_id: 'chatcmpl-123' }),
    )
    await record(...spans)
    await record(event('p', { ...SOURCES.proxy, response_id: 'chatcmpl-123' }))
    expect(await counted()).toEqual(['p'])
  })

  test('the answer id matches as well, of a gateway that keeps both', async () => {
    const { record, counted } = await openLedger()
    const span = event('span', { client: 'shop', session_id: null, response_id: 'msg_1' })
    await record(span)
    await record(
      event('gate', { ...SOURCES.proxy, client: null, request_id: 'req_1', response_id: 'msg_1' }),
    )
    expect(await counted()).toEqual(['gate'])
  })

  test('another session of the same client stays', async () => {
    const { record, counted } = await openLedger()
    await record(event('a', {}), event('b', { ...SOURCES.local, session_id: 's2' }))
    expect(await counted()).toEqual(['a', 'b'])
  })

  test('ids decide where both know them: what only the lower source saw counts', async () => {
    const { record, counted } = await openLedger()
    await record(event('a', { ...SOURCES.proxy, request_id: 'req_1' }))
    await record(
      event('b', { request_id: 'req_1' }),
      event('c', { request_id: 'req_2' }),
      event('d', { ...SOURCES.local, request_id: 'req_3' }),
    )
    expect(await counted()).toEqual(['a', 'c', 'd'])
  })

  test('a source without ids yields to whoever tells of its session', async () => {
    const { record, counted } = await openLedger()
    await record(event('a', SOURCES.local), event('b', { ...SOURCES.fallback, usage: NO_USAGE }))
    expect(await counted()).toEqual(['b'])
    await record(event('c', { request_id: 'req_1' }))
    expect(await counted()).toEqual(['c'])
  })
})

test('entries written by someone who could not wait are settled before they are read', async () => {
  const settled = await openLedger()
  const late = await openLedger()
  const events = [
    event('a', { ...SOURCES.proxy, request_id: 'req_1' }),
    event('b', { request_id: 'req_1' }),
    event('c', { ...SOURCES.proxy, request_id: 'req_2' }),
  ]
  await settled.record(...events)
  await late.record(...events.filter(({ source }) => source === 'otlp'))
  for (const one of events.filter(({ source }) => source === 'proxy'))
    await late.db
      .insertInto('ledger_entry')
      .values({ ...PENDING, id: one.id, request_id: one.request_id })
      .execute()
  await settlePending(late.db)
  const counted = ['a', 'c']
  expect([await settled.counted(), await late.counted()]).toEqual([counted, counted])
  const before = await late.dump()
  await rebuildEntries(late.db, catalog)
  expect(await late.dump()).toBe(before)
})

/** A row as a writer on the proxy's path leaves it. */
const PENDING = {
  ...NO_USAGE,
  source: 'proxy',
  signal: null,
  client: 'claude-code',
  provider: 'anthropic',
  model: 'claude-sonnet-4-5',
  occurred_at: NOW - 60_000,
  session_id: 's1',
  user: null,
  project: null,
  billing_mode: 'api',
  service_tier: null,
  speed: null,
  requests: 1,
  uncached_input_tokens: 100,
  cost_nanos: 300_000n,
  price_rule: 'anthropic/claude-sonnet-4-5@start',
  unpriced_reason: null,
  reported_cost_nanos: null,
  list_nanos: 300_000n,
  tags: '{}',
  recorded_at: NOW,
  precedence: 0,
  response_id: null,
  origin: null,
  superseded_by: null,
} as const

/** Entries of all sources, and the same ones in another order, each at least twice. */
function anyCorpus() {
  const anyEvent = fc.record({
    source: fc.constantFrom(...(Object.keys(SOURCES) as (keyof typeof SOURCES)[])),
    session_id: fc.constantFrom('s1', 's2', null),
    request_id: fc.constantFrom('req_1', 'req_2', 'req_3', null),
    response_id: fc.constantFrom('msg_1', 'msg_2', null),
    quarter: fc.integer({ min: 0, max: 3 }),
    tokens: fc.integer({ min: 0, max: 1_000 }),
  })
  return fc.array(anyEvent, { minLength: 1, maxLength: 14 }).chain((given) => {
    const events = given.map(({ source, quarter, tokens, ...rest }, i) =>
      event(`e${i}`, {
        ...SOURCES[source],
        ...rest,
        occurred_at: NOW - quarter * 900_000,
        usage: { ...NO_USAGE, requests: 1, uncached_input_tokens: tokens },
      }),
    )
    const shuffled = fc.shuffledSubarray([...events, ...events], { minLength: events.length * 2 })
    return fc.record({
      events: fc.constant(events),
      shuffled,
      cuts: fc.integer({ min: 1, max: 5 }),
      settles: fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
    })
  })
}

test('any order and split of entries from all sources counts the same, and is rebuilt to the same bytes', async () => {
  await fc.assert(
    fc.asyncProperty(anyCorpus(), async ({ events, shuffled, cuts }) => {
      const once = await openLedger()
      await once.record(...events)
      const many = await openLedger()
      for (let at = 0; at < shuffled.length; at += cuts)
        await many.record(...shuffled.slice(at, at + cuts))
      const dump = await once.dump()
      expect(await many.dump()).toBe(dump)
      await rebuildEntries(many.db, catalog)
      expect(await many.dump()).toBe(dump)
    }),
    { numRuns: 40 },
  )
})

test('and so it does where the proxy could not wait, whenever its entries are settled', async () => {
  await fc.assert(
    fc.asyncProperty(anyCorpus(), async ({ events, shuffled, cuts, settles }) => {
      const once = await openLedger()
      await once.record(...events)
      const rows = await once.db.selectFrom('ledger_entry').selectAll().execute()
      const many = await openLedger()
      const write = async (one: UsageEvent) => {
        if (one.source !== 'proxy') return void (await many.record(one))
        const unsettled = { precedence: 0, superseded_by: null }
        const row = rows.filter(({ id }) => id === one.id).map((all) => ({ ...all, ...unsettled }))
        const insert = many.db.insertInto('ledger_entry').values(row)
        await insert.onConflict((conflict) => conflict.doNothing()).execute()
      }
      for (const [i, one] of shuffled.entries()) {
        await write(one)
        if (i % cuts === 0 && settles[i % settles.length]) await settlePending(many.db)
      }
      await settlePending(many.db)
      expect(await many.dump()).toBe(await once.dump())
    }),
    { numRuns: 25 },
  )
})

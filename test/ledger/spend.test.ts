import { beforeEach, describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS } from '../../src/clock.ts'
import type { CostBucket, ReportWindow, UsageBucket } from '../../src/ledger/bucket.ts'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { recordEvents } from '../../src/ledger/record.ts'
import { answerSpend, type SpendRequest } from '../../src/ledger/spend-answer.ts'
import { replaceWindow } from '../../src/ledger/window.ts'
import { type PeriodRequest, resolvePeriod } from '../../src/period.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'
import type { Db } from '../../src/store/schema.ts'
import { NO_USAGE } from '../../src/usage.ts'

const NOW = Date.parse('2026-11-20T15:30:00Z')
const TODAY = Date.parse('2026-11-20T00:00:00Z')
const catalog = loadCatalog([])

let db: Db
beforeEach(async () => {
  const store = await openStore({ path: ':memory:', driver: 'better-sqlite3', now: NOW })
  db = store.db
  return () => store.close()
})

/** A connection whose cost is complete up to `billed_until` and whose usage was read up to now. */
async function connect({
  provider = 'anthropic',
  billed_until = TODAY,
  covered_from = TODAY - 30 * DAY_MS,
  removed_at = null,
}: {
  provider?: string
  billed_until?: number
  covered_from?: number
  removed_at?: number | null
} = {}) {
  const id = `con_${provider}`
  await db
    .insertInto('connection')
    .values({
      id,
      provider,
      name: 'default',
      origin: 'environment',
      fingerprint: 'sk-…',
      created_at: 0,
      updated_at: 0,
      removed_at,
    })
    .execute()
  const stream = (name: string, view: 'cost' | 'usage', watermark: number) =>
    db
      .insertInto('sync_stream')
      .values({
        connection_id: id,
        stream: name,
        view,
        watermark,
        covered_from,
        backfill_from: covered_from,
        settle_ms: 0,
        succeeded_at: NOW,
      })
      .returning('id')
      .executeTakeFirstOrThrow()
  const cost = await stream('cost', 'cost', billed_until)
  const usage = await stream('usage', 'usage', NOW - (NOW % HOUR_MS))
  return { id, provider, cost: cost.id, usage: usage.id }
}

type Connected = Awaited<ReturnType<typeof connect>>

function costRow(at: number, usd: number, more: Partial<CostBucket> = {}): CostBucket {
  return {
    bucket_start: at,
    dims: { model: 'claude-sonnet-4-5', api_key: 'key_1', workspace: 'w_1', user: 'user_1' },
    amount_nanos: BigInt(Math.round(usd * 1e9)),
    list_nanos: null,
    currency: 'usd',
    raw_amount: String(usd),
    ...more,
  }
}

/** A million input tokens of claude-sonnet-4-5 are 3 dollars at list price. */
function usageRow(at: number, millions: number, model = 'claude-sonnet-4-5'): UsageBucket {
  return {
    bucket_start: at,
    dims: { model, api_key: 'key_1', workspace: 'w_1', user: 'user_1', service_tier: 'standard' },
    usage: { ...NO_USAGE, uncached_input_tokens: millions * 1_000_000, requests: 1 },
  }
}

async function write(
  one: Connected,
  rows: { cost?: CostBucket[]; usage?: UsageBucket[] },
  {
    observed_at = NOW,
    range = { start: TODAY - 30 * DAY_MS, end: TODAY + DAY_MS },
    ...more
  }: Partial<ReportWindow> = {},
) {
  for (const view of ['cost', 'usage'] as const) {
    if (!rows[view]) continue
    await db.transaction().execute(async (trx) => {
      await replaceWindow(trx, catalog, {
        stream_id: one[view],
        provider: one.provider,
        grouping: 'v1',
        range,
        bucket_ms: view === 'cost' ? DAY_MS : HOUR_MS,
        usage: view === 'usage' ? (rows.usage ?? []) : [],
        cost: view === 'cost' ? (rows.cost ?? []) : [],
        assistant: [],
        malformed: [],
        observed_at,
        ...more,
      })
    })
  }
}

/** Of 0.30 dollars at list price. */
function event(at: number, given: Partial<UsageEvent> = {}): UsageEvent {
  return {
    id: `event_${at}_${given.session_id ?? ''}`,
    source: 'otlp',
    signal: 'logs',
    client: 'claude-code',
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    occurred_at: at,
    session_id: 'session_1',
    request_id: null,
    user: 'user_1',
    project: null,
    billing_mode: 'api',
    service_tier: null,
    speed: null,
    usage: { ...NO_USAGE, uncached_input_tokens: 100_000, requests: 1 },
    reported_cost_nanos: null,
    tags: { team: 'search' },
    ...given,
  }
}

function ask(period: PeriodRequest, given: Partial<SpendRequest> & { zone?: string } = {}) {
  const { zone = 'UTC', ...rest } = given
  return answerSpend(db, {
    period: resolvePeriod(period, NOW, zone),
    group_by: [],
    filter: {},
    basis: 'best',
    compare: false,
    limit: 20,
    now: NOW,
    ...rest,
  })
}

const WEEK: PeriodRequest = { period: 'last_7d' }

describe('the read rule: one view a provider and day', () => {
  test('billed where complete, usage at list price from there on, and it says which', async () => {
    const one = await connect({ billed_until: TODAY - DAY_MS })
    await write(one, {
      cost: [costRow(TODAY - 2 * DAY_MS, 10), costRow(TODAY - DAY_MS, 1), costRow(TODAY, 0.5)],
      usage: [-2, -1, 0].map((day) => usageRow(TODAY + day * DAY_MS, 1)),
    })
    const answer = await ask(WEEK, { group_by: ['day'] })
    expect(answer.rows.map(({ day, cost_usd }) => [day, cost_usd])).toEqual([
      ['2026-11-18', '10.000000000'],
      ['2026-11-19', '3.000000000'],
      ['2026-11-20', '3.000000000'],
    ])
    expect(answer).toMatchObject({
      basis: 'mixed',
      billed_usd: '10.000000000',
      metered_usd: '6.000000000',
    })
    expect(answer.coverage).toEqual([
      {
        provider: 'anthropic',
        connection: 'default',
        basis: 'billed',
        from: '2026-11-14',
        to: '2026-11-19',
      },
      {
        provider: 'anthropic',
        connection: 'default',
        basis: 'metered',
        from: '2026-11-19',
        to: '2026-11-21',
      },
    ])
    expect(answer.notes.join('\n')).toMatch(
      /\$10\.00 is what providers reported; \$6\.00 is usage at list price/,
    )
  })

  test.each([
    ['best', '10.000000000', 'billed'],
    ['billed', '10.000000000', 'billed'],
    ['metered', '3.000000000', 'metered'],
  ] as const)('basis %s', async (basis, cost_usd, used) => {
    const one = await connect()
    await write(one, { cost: [costRow(TODAY - DAY_MS, 10)], usage: [usageRow(TODAY - DAY_MS, 1)] })
    expect(await ask({ period: 'yesterday' }, { basis })).toMatchObject({
      total: { cost_usd },
      basis: used,
    })
  })

  test('what a bill leaves open is told where the question is about it, and only there', async () => {
    const one = await connect()
    const dims = { model: 'claude-sonnet-4-5', api_key: 'key_1', workspace: 'w_1' }
    await write(one, {
      usage: [usageRow(TODAY - DAY_MS, 1)],
      cost: [costRow(TODAY - DAY_MS, 3, { dims: { ...dims, component: 'uncached_input_tokens' } })],
    })
    const notesOf = async (group: 'user' | 'model') =>
      (await ask(WEEK, { group_by: [group] })).notes.join()
    expect(await notesOf('user')).toMatch(/\$3\.00 was reported without a user and is split/)
    expect(await notesOf('model')).not.toMatch(/split/)
  })
  test('what has no hours is named in an answer that is made of hours', async () => {
    const one = await connect()
    await write(one, { usage: [usageRow(TODAY, 1)] }, { bucket_ms: DAY_MS })
    const { notes } = await ask({ period: 'last_24h' })
    expect(notes.join()).toMatch(/anthropic tells some usage by the day only \(usage\)/)
    expect((await ask(WEEK)).notes.join()).not.toMatch(/by the day only/)
  })
  test('hours come from usage, since no bill has hours', async () => {
    const one = await connect()
    const at = TODAY - DAY_MS + 5 * HOUR_MS
    await write(one, {
      cost: [costRow(TODAY - DAY_MS, 10)],
      usage: [usageRow(at, 1), usageRow(at + HOUR_MS, 2)],
    })
    const answer = await ask({ period: 'yesterday' }, { group_by: ['hour'] })
    expect(answer.rows.map(({ hour, cost_usd }) => [hour, cost_usd])).toEqual([
      ['2026-11-19T05:00Z', '3.000000000'],
      ['2026-11-19T06:00Z', '6.000000000'],
    ])
    expect(answer.basis).toBe('metered')
  })

  test('a local day picks the UTC day of the same name', async () => {
    const one = await connect()
    await write(one, { cost: [costRow(TODAY - 2 * DAY_MS, 1), costRow(TODAY - DAY_MS, 10)] })
    for (const zone of ['America/Los_Angeles', 'Pacific/Auckland', 'Asia/Kolkata'])
      expect((await ask({ from: '2026-11-19', to: '2026-11-20' }, { zone })).total.cost_usd).toBe(
        '10.000000000',
      )
  })

  test('unknown prices are counted as unpriced, never as nothing', async () => {
    const one = await connect({ billed_until: TODAY - 9 * DAY_MS })
    await write(one, { usage: [usageRow(TODAY, 1, 'model-of-tomorrow')] })
    const { total, notes } = await ask(WEEK)
    expect(total).toMatchObject({ cost_usd: '0.000000000', unpriced_requests: 1 })
    expect(notes.join()).toMatch(/1 requests have no known price \(model-of-tomorrow\)/)
  })
})

describe('telemetry beside reports', () => {
  test('is not added where the provider speaks, and that is said', async () => {
    const one = await connect()
    await write(one, { cost: [costRow(TODAY - DAY_MS, 10)] })
    await recordEvents(db, catalog, [event(TODAY - DAY_MS)], NOW)
    const { total, notes } = await ask(WEEK)
    expect(total.cost_usd).toBe('10.000000000')
    expect(notes.join()).toMatch(
      /1 anthropic requests seen by telemetry are part of what the provider reports/,
    )
  })
  test('counts before the reports begin, and for providers without any', async () => {
    const one = await connect({ covered_from: TODAY - 2 * DAY_MS })
    await write(one, { cost: [costRow(TODAY - DAY_MS, 10)] })
    await recordEvents(
      db,
      catalog,
      [event(TODAY - 3 * DAY_MS), event(TODAY - DAY_MS, { provider: 'elsewhere' })],
      NOW,
    )
    const { rows, total } = await ask(WEEK, { group_by: ['provider'] })
    expect(total).toMatchObject({ cost_usd: '10.300000000', unpriced_requests: 1 })
    expect(rows.map(({ provider, cost_usd }) => [provider, cost_usd])).toEqual([
      ['anthropic', '10.300000000'],
      ['elsewhere', '0.000000000'],
    ])
  })
  test('counts again after the connection was removed', async () => {
    const removed_at = TODAY - DAY_MS
    const one = await connect({ removed_at, billed_until: removed_at })
    await write(one, { cost: [costRow(TODAY - 3 * DAY_MS, 10)] })
    await db
      .updateTable('sync_stream')
      .set({ watermark: removed_at, succeeded_at: removed_at })
      .execute()
    await recordEvents(db, catalog, [event(TODAY - 3 * DAY_MS), event(TODAY)], NOW)
    expect((await ask(WEEK)).total.cost_usd).toBe('10.300000000')
  })
  test('counts again where the provider could not be read for a day, and that is said', async () => {
    const one = await connect({ billed_until: TODAY - 3 * DAY_MS })
    await write(one, { cost: [costRow(TODAY - 5 * DAY_MS, 10)] })
    const last_read = TODAY - 2 * DAY_MS + 7 * HOUR_MS
    const seen = [last_read - HOUR_MS, last_read + HOUR_MS, TODAY].map((at) => event(at))
    await recordEvents(db, catalog, seen, NOW)
    expect((await ask(WEEK)).total.cost_usd).toBe('10.000000000')
    await db
      .updateTable('sync_stream')
      .set({ succeeded_at: last_read })
      .where('id', 'in', [one.cost, one.usage])
      .execute()
    await db
      .updateTable('sync_stream')
      .set({ watermark: last_read })
      .where('id', '=', one.usage)
      .execute()
    const { total, notes, complete_through } = await ask(WEEK)
    expect(total.cost_usd).toBe('10.600000000')
    expect(notes.join()).toMatch(/anthropic could not be read since 2026-11-18T07:00Z/)
    expect(complete_through).toBe('2026-11-18T07:00:00.000Z')
  })
  test('a removed connection does not hold back how far figures are complete', async () => {
    await connect({ provider: 'openai', removed_at: NOW, billed_until: TODAY - 20 * DAY_MS })
    await db
      .updateTable('sync_stream')
      .set({ watermark: TODAY - 20 * DAY_MS })
      .execute()
    await connect()
    expect((await ask(WEEK)).complete_through).toBe('2026-11-20T15:00:00.000Z')
  })
  test('what only telemetry knows is answered from it alone', async () => {
    const one = await connect()
    await write(one, { cost: [costRow(TODAY - DAY_MS, 10)] })
    await recordEvents(db, catalog, [event(TODAY - DAY_MS)], NOW)
    for (const group of ['session', 'client', 'tag:team'] as const)
      expect((await ask(WEEK, { group_by: [group] })).total.cost_usd).toBe('0.300000000')
  })
})

describe('comparison', () => {
  test.each([
    [10, 5, 100],
    [5, 10, -50],
    [3, 9, -66.7],
    [2, 3, -33.3],
    [1, 0, undefined],
    [0, 0, 0],
    [0.9996, 1, 0],
    [1, -5, undefined],
    [-1, 4, -125],
  ])('%d after %d is %d percent', async (now, before, change_percent) => {
    const one = await connect()
    await write(one, { cost: [costRow(TODAY - DAY_MS, now), costRow(TODAY - 2 * DAY_MS, before)] })
    const answer = await ask({ period: 'yesterday' }, { compare: true, group_by: ['model'] })
    expect(answer.previous?.change_percent).toBe(change_percent)
    expect(answer.rows[0]?.['change_percent']).toBe(change_percent)
  })

  test('shares are rounded, not cut', async () => {
    const one = await connect()
    const dims = { api_key: 'key_1', workspace: '', user: '' }
    await write(one, {
      cost: [
        costRow(TODAY - DAY_MS, 2, { dims: { ...dims, model: 'a' } }),
        costRow(TODAY - DAY_MS, 1, { dims: { ...dims, model: 'b' } }),
      ],
    })
    const { rows } = await ask({ period: 'yesterday' }, { group_by: ['model'] })
    expect(rows.map(({ share_percent }) => share_percent)).toEqual([66.7, 33.3])
  })
})

describe('replacing a window', () => {
  const total = async () => (await ask(WEEK, { basis: 'billed' })).total.cost_usd
  test('again changes nothing; a restated row replaces; a vanished one goes', async () => {
    const one = await connect()
    const day = TODAY - DAY_MS
    const other = { dims: { model: 'other', api_key: '', workspace: '', user: '' } }
    for (const _ of [1, 2]) await write(one, { cost: [costRow(day, 10), costRow(day, 1, other)] })
    expect(await total()).toBe('11.000000000')
    await write(one, { cost: [costRow(day, 7), costRow(day, 1, other)] })
    expect(await total()).toBe('8.000000000')
    await write(one, { cost: [costRow(day, 7)] })
    expect(await total()).toBe('7.000000000')
  })
  test('of another grouping, it leaves nothing of the first', async () => {
    const one = await connect()
    const day = TODAY - DAY_MS
    await write(one, { cost: [costRow(day, 10)] })
    const malformed = [{ bucket_start: day, reason: 'amount: not a decimal number' }]
    await write(one, { cost: [costRow(day, 9)] }, { grouping: 'v2', malformed })
    expect(await total()).toBe('9.000000000')
  })
  test('what is outside the range stays', async () => {
    const one = await connect()
    await write(one, { cost: [costRow(TODAY - 3 * DAY_MS, 10)] })
    await write(
      one,
      { cost: [costRow(TODAY - DAY_MS, 1)] },
      { range: { start: TODAY - DAY_MS, end: TODAY } },
    )
    expect(await total()).toBe('11.000000000')
  })
})

describe('filters', () => {
  test('by id and by name, in any case; a wrong one names the closest', async () => {
    const one = await connect()
    const dims = { model: 'm', workspace: '', user: '' }
    await write(one, {
      cost: [
        costRow(TODAY - DAY_MS, 2, { dims: { ...dims, api_key: 'key_1' } }),
        costRow(TODAY - DAY_MS, 1, { dims: { ...dims, api_key: 'key_gone' } }),
        costRow(TODAY - DAY_MS, 4, { dims: { ...dims, api_key: '' } }),
      ],
    })
    await db
      .insertInto('directory_entry')
      .values({
        connection_id: one.id,
        kind: 'api_key',
        id: 'key_1',
        name: 'CI bot',
        is_default: 0,
        observed_at: NOW,
      })
      .execute()
    const spend = async (provider_key: string[]) =>
      (await ask(WEEK, { filter: { provider_key } })).total.cost_usd
    expect(await spend(['ci BOT'])).toBe('2.000000000')
    expect(await spend(['key_gone', 'none'])).toBe('5.000000000')
    await expect(spend(['ci bit'])).rejects.toThrow(
      /No provider_key "ci bit" has been seen\. Closest: CI bot/,
    )
    const { rows } = await ask(WEEK, { group_by: ['provider_key'] })
    expect(rows.map((row) => [row['provider_key'], row['provider_key_id']])).toEqual([
      ['(no key)', undefined],
      ['CI bot', 'key_1'],
      ['key_gone', undefined],
    ])
  })
})

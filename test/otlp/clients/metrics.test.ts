import { describe, expect, test } from 'vitest'
import { MINUTE_MS } from '../../../src/clock.ts'
import type { UsageEvent } from '../../../src/ledger/event.ts'
import { recordEvents } from '../../../src/ledger/record.ts'
import type { MetricPoint } from '../../../src/otlp/signal.ts'
import { NO_USAGE } from '../../../src/usage.ts'
import { catalog, logRecord, logs, metrics, NOW, ns, openBook, point } from '../telemetry.ts'

function tokens(
  value: number | undefined,
  rest: Partial<Omit<MetricPoint, 'attributes' | 'metric'>> = {},
  type = 'input',
) {
  const attributes = { 'session.id': 's1', model: 'claude-sonnet-4-5', type }
  return point('claude-code', 'claude_code.token.usage', attributes, { value, ...rest })
}

function localEvent(given: Partial<UsageEvent>): UsageEvent {
  return {
    id: 'local-1',
    source: 'local_log',
    signal: null,
    client: 'claude-code',
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    occurred_at: NOW,
    session_id: null,
    request_id: null,
    user: null,
    project: null,
    billing_mode: 'api',
    service_tier: null,
    speed: null,
    usage: { ...NO_USAGE, requests: 1, uncached_input_tokens: 70 },
    reported_cost_nanos: null,
    tags: {},
    ...given,
  }
}

const GRACE = 3 * MINUTE_MS

async function inputOf(...batches: ReturnType<typeof metrics>[]) {
  const { book, spend, clock } = await openBook()
  for (const batch of [...batches, ...batches]) await book(batch)
  clock.set(NOW + GRACE)
  return (await spend()).total.input_tokens
}

describe('points of a series', () => {
  const cumulative = (value: number, start: number, at: number) =>
    tokens(value, { temporality: 'cumulative', start_ns: ns(start), time_ns: ns(at) })

  test('two processes of one session that count on in turns: the sum of their highest values', async () => {
    const [a, b] = [NOW - 600_000, NOW - 500_000]
    const points = [
      cumulative(100, a, NOW - 400_000),
      cumulative(10, b, NOW - 390_000),
      cumulative(250, a, NOW - 300_000),
      cumulative(40, b, NOW - 290_000),
      cumulative(200, a, NOW - 350_000),
    ]
    expect(await inputOf(metrics(...points))).toBe(290)
    expect(await inputOf(...points.toReversed().map((one) => metrics(one)))).toBe(290)
  })

  test('deltas are added, each stretch once', async () => {
    const delta = (value: number, at: number) => tokens(value, { time_ns: ns(at) })
    expect(
      await inputOf(metrics(delta(5, NOW - 3), delta(7, NOW - 2)), metrics(delta(5, NOW - 3))),
    ).toBe(12)
  })

  test('a delta whose start is its end counts in full', async () => {
    expect(await inputOf(metrics(tokens(9, { start_ns: ns(NOW), time_ns: ns(NOW) })))).toBe(9)
  })

  test('of a counter that some program began before we looked, only what follows counts', async () => {
    const generic = (value: number, at: number) =>
      point(
        'shop',
        'gen_ai.client.token.usage',
        { 'gen_ai.token.type': 'input', 'gen_ai.request.model': 'gpt-4o' },
        { value, kind: 'histogram', temporality: 'cumulative', start_ns: 0n, time_ns: ns(at) },
      )
    expect(await inputOf(metrics(generic(1_000, NOW - 5), generic(1_300, NOW - 4)))).toBe(300)
  })
})

describe('points that cannot be booked', () => {
  test.each<[string, Partial<MetricPoint>, number]>([
    ['no temporality', { temporality: 'unspecified' }, 1],
    ['NaN', { value: Number.NaN }, 1],
    ['infinity', { value: Number.POSITIVE_INFINITY }, 1],
    ['a negative delta', { value: -3 }, 1],
    ['the flag that there is no value', { has_no_value: true, value: 5 }, 0],
    ['no value', { value: undefined }, 0],
    ['a gauge', { kind: 'gauge' }, 0],
  ])('%s', async (_, rest, expected) => {
    const { book, spend, clock } = await openBook()
    const { rejected, message } = await book(metrics(tokens(5, rest), tokens(7, {}, 'output')))
    expect(rejected).toBe(expected)
    expect(message === '').toBe(expected === 0)
    clock.set(NOW + GRACE)
    expect((await spend()).total).toMatchObject({ input_tokens: 0, output_tokens: 7 })
  })
})

describe('metrics of a session', () => {
  test('count after the grace, and no longer when its log comes', async () => {
    const { book, spend, clock } = await openBook()
    await book(metrics(tokens(50)))
    clock.set(NOW + GRACE - 1)
    expect((await spend()).total.input_tokens).toBe(0)
    clock.set(NOW + GRACE)
    expect((await spend()).total.input_tokens).toBe(50)
    const event = { 'event.name': 'api_request', 'session.id': 's1', model: 'claude-sonnet-4-5' }
    await book(logs(logRecord('claude-code', { ...event, input_tokens: 60, output_tokens: 0 })))
    expect((await spend()).total.input_tokens).toBe(60)
    await book(metrics(tokens(50), tokens(80, { time_ns: ns(NOW) })))
    expect((await spend()).total.input_tokens).toBe(60)
  })

  test('another session has its own', async () => {
    const { book, spend, clock } = await openBook()
    const event = { 'event.name': 'api_request', 'session.id': 's2', model: 'claude-sonnet-4-5' }
    await book(logs(logRecord('claude-code', { ...event, input_tokens: 60, output_tokens: 0 })))
    await book(metrics(tokens(50)))
    clock.set(NOW + GRACE)
    expect((await spend()).total.input_tokens).toBe(110)
    expect((await spend(['session'])).rows.map((row) => row['session']).sort()).toEqual([
      's1',
      's2',
    ])
  })

  test('without a session are matched by user and hour', async () => {
    const { book, spend, clock } = await openBook()
    const anonymous = (user: string) =>
      point('claude-code', 'claude_code.token.usage', {
        'user.id': user,
        model: 'claude-sonnet-4-5',
        type: 'input',
      })
    const counted = (user: string) => ({ ...anonymous(user), value: 50 })
    await book(metrics(counted('ann'), counted('bob')))
    clock.set(NOW + GRACE)
    expect((await spend()).total.input_tokens).toBe(100)
    const event = { 'event.name': 'api_request', 'session.id': 's1', 'user.id': 'ann' }
    const usage = { model: 'claude-sonnet-4-5', input_tokens: 60, output_tokens: 0 }
    await book(logs(logRecord('claude-code', { ...event, ...usage })))
    expect((await spend()).total.input_tokens).toBe(110)
  })

  test('and logs read on this machine are one, whichever came first', async () => {
    const local = localEvent({ session_id: 's1', occurred_at: NOW - 60_000 })
    const named = await openBook()
    await recordEvents(named.db, catalog, [local], NOW)
    await named.book(metrics(tokens(50)))
    expect((await named.spend()).total.input_tokens).toBe(50)

    const unnamed = await openBook()
    const { 'session.id': _, ...anonymous } = tokens(50).attributes
    await unnamed.book(metrics({ ...tokens(50), attributes: anonymous }))
    unnamed.clock.set(NOW + GRACE)
    expect((await unnamed.spend()).total.input_tokens).toBe(50)
    await recordEvents(unnamed.db, catalog, [local], NOW)
    expect((await unnamed.spend()).total.input_tokens).toBe(70)
  })

  test('told by counters and by the histogram that they replace are counted once', async () => {
    const attributes = { 'gen_ai.request.model': 'gpt-4o', 'gen_ai.conversation.id': 'c1' }
    const usage = 'gen_ai.client.inference.usage'
    expect(
      await inputOf(
        metrics(
          point('shop', `${usage}.input_tokens`, attributes, { value: 1_000 }),
          point('shop', `${usage}.cache_read.input_tokens`, attributes, { value: 400 }),
          point(
            'shop',
            'gen_ai.client.token.usage',
            { ...attributes, 'gen_ai.token.type': 'input' },
            { kind: 'histogram', value: 1_000, count: 2 },
          ),
        ),
      ),
    ).toBe(1_000)
  })

  test('of opencode are its usage, reasoning beside the output', async () => {
    const { book, spend, clock } = await openBook()
    const one = (type: string, value: number) =>
      point(
        'opencode',
        'opencode.token.usage',
        { 'session.id': 'o1', model: 'claude-sonnet-4-5', type },
        { value },
      )
    await book(
      metrics(one('input', 10), one('cacheRead', 90), one('output', 5), one('reasoning', 2)),
    )
    clock.set(NOW + GRACE)
    expect((await spend(['client', 'model'])).rows).toMatchObject([
      { client: 'opencode', input_tokens: 100, cached_input_tokens: 90, output_tokens: 7 },
    ])
  })
})

import { describe, expect, test } from 'vitest'
import { recordEvents } from '../../../src/ledger/record.ts'
import type { AttributeValue } from '../../../src/otlp/signal.ts'
import { catalog, logRecord, logs, NOW, ns, openBook, proxyEvent } from '../telemetry.ts'

const REQUEST = {
  'event.name': 'api_request',
  'session.id': 's1',
  model: 'claude-sonnet-4-5',
  input_tokens: 12,
  output_tokens: 340,
  cache_read_tokens: 18_000,
  cache_creation_tokens: 2_100,
  cost_usd: 0.018411,
  cost_usd_micros: 18_411,
  request_id: 'req_1',
}

const CODEX = {
  'event.name': 'codex.sse_event',
  'event.kind': 'response.completed',
  'event.timestamp': '2026-11-20T11:00:00.000Z',
  'conversation.id': 'c1',
  model: 'gpt-5-codex',
  input_token_count: '12345',
  output_token_count: '678',
  cached_token_count: 10_000,
  cache_write_token_count: 45,
  reasoning_token_count: 512,
  tool_token_count: '13023',
}

function claude(changes: Record<string, AttributeValue> = {}) {
  return logRecord('claude-code', { ...REQUEST, ...changes })
}

describe('Claude Code', () => {
  test('keeps its four classes apart and its own cost exactly', async () => {
    const { book, entries } = await openBook()
    await book(logs(claude()))
    expect(await entries()).toMatchObject([
      {
        client: 'claude-code',
        provider: 'anthropic',
        uncached: 12,
        cached: 18_000,
        written: 2_100,
        output: 340,
        cost: '18411000',
        session_id: 's1',
        request_id: 'req_1',
      },
    ])
  })

  test.each([
    ['event.name with its prefix', { 'event.name': 'claude_code.api_request' }],
    ['all numbers as text', { input_tokens: '12', cost_usd_micros: '18411' }],
    ['big integers', { input_tokens: 12n, cost_usd_micros: 18_411n }],
    ['no micros', { cost_usd_micros: '' }],
  ])('is read with %s', async (_, changes) => {
    const { book, entries } = await openBook()
    await book(logs(claude(changes)))
    expect(await entries()).toMatchObject([{ uncached: 12, cost: '18411000' }])
  })

  test('is one request however often it comes, and two where the request ids differ', async () => {
    const { book, entries } = await openBook()
    await book(logs(claude(), claude()))
    await book(logs(claude(), claude({ request_id: 'req_2' })))
    expect(await entries()).toHaveLength(2)
  })

  test('tells requests without ids apart by their sequence', async () => {
    const { book, entries } = await openBook()
    const at = { request_id: '', 'event.timestamp': '2026-11-20T11:00:00Z' }
    for (let i = 0; i < 2; i++)
      await book(
        logs(claude({ ...at, 'event.sequence': 1 }), claude({ ...at, 'event.sequence': 2 })),
      )
    expect(await entries()).toHaveLength(2)
  })

  test('prices at list what comes without a cost', async () => {
    const { book, entries } = await openBook()
    await book(logs(claude({ cost_usd: 0, cost_usd_micros: 0, speed: 'normal' })))
    // 12 × $3 + 340 × $15 + 18,000 × $0.30 + 2,100 × $3.75, per million
    expect(await entries()).toMatchObject([{ cost: '18411000' }])
  })

  test.each([
    ['a negative count', { input_tokens: -1 }],
    ['half a token', { output_tokens: 1.5 }],
    ['no number', { cache_read_tokens: 'many' }],
    ['NaN', { output_tokens: Number.NaN }],
  ])('rejects %s and books the rest of the batch', async (_, changes) => {
    const { book, entries } = await openBook()
    const { rejected, message } = await book(
      logs(claude({ ...changes, request_id: 'req_bad' }), claude()),
    )
    expect(rejected).toBe(1)
    expect(message).toMatch(/no count of tokens/)
    expect(await entries()).toHaveLength(1)
  })

  test('errors, tool results and prompts are counted and not booked', async () => {
    const { book, entries, db } = await openBook()
    await book(
      logs(
        claude({ 'event.name': 'api_error' }),
        claude({ 'event.name': 'user_prompt', prompt: 'private' }),
        claude(),
      ),
    )
    expect(await entries()).toHaveLength(1)
    const received = await db.selectFrom('receiver').selectAll().execute()
    expect(received).toMatchObject([{ client: 'claude-code', accepted: 1, ignored: 2 }])
    await book(logs(claude(), claude()))
    const after = await db.selectFrom('receiver').selectAll().execute()
    expect(after).toMatchObject([{ accepted: 1, duplicates: 2, ignored: 2 }])
  })
})

describe('Codex', () => {
  test('has cached and cache-writing tokens inside its input, reasoning inside its output', async () => {
    const { book, entries } = await openBook()
    await book(logs(logRecord('codex_cli_rs', CODEX, { time_ns: 0n })))
    expect(await entries()).toMatchObject([
      {
        uncached: 2_300,
        cached: 10_000,
        written: 45,
        output: 678,
        reasoning: 512,
        session_id: 'c1',
      },
    ])
  })

  test('equal requests are told apart by the nanosecond they were observed in', async () => {
    const { book, entries } = await openBook()
    const twins = [1n, 2n].map((more) =>
      logRecord('codex_exec', CODEX, { time_ns: 0n, observed_ns: ns(NOW) + more }),
    )
    for (let i = 0; i < 2; i++) await book(logs(...twins))
    expect(await entries()).toHaveLength(2)
  })

  test('the raw stream event and the failed one are no requests', async () => {
    const { book, entries } = await openBook()
    const { input_token_count: _, ...raw } = CODEX
    const failed = { ...CODEX, 'event.kind': 'response.failed' }
    await book(logs(logRecord('codex_exec', raw), logRecord('codex_exec', failed)))
    expect(await entries()).toEqual([])
  })
})

test('Gemini CLI: thoughts are billed with the output, tool tokens with the input', async () => {
  const { book, entries } = await openBook()
  await book(
    logs(
      logRecord('gemini-cli', {
        'event.name': 'gemini_cli.api_response',
        'session.id': 'g1',
        model: 'gemini-2.5-flash',
        input_token_count: 2_000,
        output_token_count: 50,
        cached_content_token_count: 1_500,
        thoughts_token_count: 100,
        tool_token_count: 7,
        prompt_id: 'p1',
      }),
    ),
  )
  expect(await entries()).toMatchObject([
    { provider: 'google', uncached: 507, cached: 1_500, output: 150, reasoning: 100 },
  ])
})

describe('Gemini CLI tells the id of an answer in a twin of its record', () => {
  const common = { 'session.id': 'g1', 'event.timestamp': '2026-11-20T11:59:00.000Z' }
  const response = (input: number) =>
    logRecord('gemini-cli', {
      ...common,
      'event.name': 'gemini_cli.api_response',
      model: 'gemini-2.5-flash',
      input_token_count: input,
      output_token_count: 50,
    })
  const twin = (input: number, id: string) =>
    logRecord('gemini-cli', {
      ...common,
      'event.name': 'gen_ai.client.inference.operation.details',
      'gen_ai.operation.name': 'generate_content',
      'gen_ai.response.id': id,
      'gen_ai.usage.input_tokens': input,
      'gen_ai.usage.output_tokens': 50,
    })
  const batch = [response(10), twin(10, 'r10'), twin(20, 'r20'), response(20)]

  test('so that each request has its own, and the twin is no request', async () => {
    const { book, entries } = await openBook()
    for (const records of [batch, batch.toReversed()]) await book(logs(...records))
    const rows = await entries()
    expect(Object.fromEntries(rows.map((row) => [row['uncached'], row['response_id']]))).toEqual({
      10: 'r10',
      20: 'r20',
    })
  })

  test.each(['before', 'after'])('and what the proxy saw %s is the same request', async (when) => {
    const { book, db, spend } = await openBook()
    const forwarded = proxyEvent({ response_id: 'r10', client: 'gemini-cli', input: 10 })
    if (when === 'before') await recordEvents(db, catalog, [forwarded], NOW)
    await book(logs(...batch))
    if (when === 'after') await recordEvents(db, catalog, [forwarded], NOW)
    expect((await spend()).total).toMatchObject({ requests: 2, input_tokens: 30 })
  })
})

describe('the time of a record', () => {
  const minute = 60_000
  test.each([
    ['is its own', { time_ns: ns(NOW - minute) }, {}, NOW - minute],
    [
      'is event.timestamp where it has none',
      { time_ns: 0n },
      { 'event.timestamp': '2026-11-20T11:30:00Z' },
      NOW - 30 * minute,
    ],
    ['else when it was observed', { time_ns: 0n, observed_ns: ns(NOW - 5) }, {}, NOW - 5],
    ['else when it came in', { time_ns: 0n, observed_ns: 0n }, {}, NOW],
    ['two hours ahead is when it came in', { time_ns: ns(NOW + 120 * minute) }, {}, NOW],
    ['nine minutes ahead is left', { time_ns: ns(NOW + 9 * minute) }, {}, NOW + 9 * minute],
    ['in 1970 was never set', { time_ns: 1_000_000_000n, observed_ns: ns(NOW - 5) }, {}, NOW - 5],
  ])('%s', async (_, rest, attributes, expected) => {
    const { book, entries } = await openBook()
    await book(logs(logRecord('claude-code', { ...REQUEST, ...attributes }, rest)))
    expect(await entries()).toMatchObject([{ occurred_at: expected }])
  })
})

test('only allowed resource attributes become tags', async () => {
  const { book, entries } = await openBook()
  const resource = Object.assign(Object.create(null), {
    'service.name': 'claude-code',
    'team.id': 'platform',
    'process.command_args': ['claude', '-p', 'private words'],
  })
  await book(logs(logRecord('claude-code', REQUEST, { resource })))
  const [entry] = await entries()
  expect(JSON.parse(String(entry?.['tags']))).toEqual({ 'team.id': 'platform' })
})

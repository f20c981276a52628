import { describe, expect, test } from 'vitest'
import { messageBatchApi } from '../../src/providers/anthropic/messages.ts'
import { NO_ASK } from '../../src/providers/wire.ts'
import { findDuplicateAnywhere } from '../../src/proxy/json-bytes.ts'
import { startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

const NOW = Date.UTC(2026, 10, 24, 10)
const ONE_DOLLAR = 1_000_000_000n

const chatLine = (model = 'gpt-5.4', max = 1_000) =>
  JSON.stringify({
    custom_id: 'a',
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model, max_completion_tokens: max, messages: [{ role: 'user', content: 'hi' }] },
  })

/** Knows files and batches of both providers; what they cost is told when they are looked up. */
async function setUp(options: Parameters<typeof startWith>[1] = {}) {
  const far_end = await startFarEnd((outgoing, { url, method }) => {
    const send = (value: unknown, type = 'application/json') => {
      outgoing.writeHead(200, { 'content-type': type })
      outgoing.end(typeof value === 'string' ? value : JSON.stringify(value))
    }
    if (url === '/v1/files') return send({ id: 'file-1', object: 'file', purpose: 'batch' })
    if (url === '/v1/batches')
      return send({ id: 'batch_1', object: 'batch', status: 'validating', usage: null })
    if (url === '/v1/batches/batch_1')
      return send({
        id: 'batch_1',
        object: 'batch',
        status: 'completed',
        model: 'gpt-5.4',
        request_counts: { completed: 2, total: 2, failed: 0 },
        usage: { input_tokens: 100, output_tokens: 50, total_tokens: 150 },
      })
    if (url.endsWith('/results')) return send(RESULTS, 'application/x-jsonl')
    if (method === 'POST') return send({ id: 'msgbatch_1', type: 'message_batch' })
    return send({ id: 'msgbatch_1', type: 'message_batch', processing_status: 'ended' })
  })
  const proxy = await startWith(far_end, { now: NOW, ...options })
  const headers = { authorization: `Bearer ${WRAPPED}` }
  return {
    far_end,
    proxy,
    upload: async (content: string, purpose = 'batch') => {
      const form = new FormData()
      form.set('purpose', purpose)
      form.set('file', new Blob([content]), 'in.jsonl')
      return fetch(`${proxy.url}/proxy/openai/v1/files`, { method: 'POST', headers, body: form })
    },
    post: async (path: string, body: unknown) => {
      const answer = await fetch(`${proxy.url}/proxy${path}`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      })
      return { status: answer.status, text: await answer.text() }
    },
    get: (path: string) => fetch(`${proxy.url}/proxy${path}`, { headers }),
  }
}

const RESULTS = [20, 30]
  .map((output_tokens, i) =>
    JSON.stringify({
      custom_id: `r${i}`,
      result: {
        type: 'succeeded',
        message: {
          model: 'claude-sonnet-4-6',
          usage: { input_tokens: 10, output_tokens, service_tier: 'batch' },
        },
      },
    }),
  )
  .concat('{"custom_id":"r2","result":{"type":"expired"}}')
  .join('\n')

const BATCH = {
  input_file_id: 'file-1',
  endpoint: '/v1/chat/completions',
  completion_window: '24h',
}

describe('a batch of an uploaded file', () => {
  test('is held at what its lines can cost, and charged what it cost', async () => {
    const { upload, post, get, proxy } = await setUp({ limit_nanos: ONE_DOLLAR })
    expect((await upload(`${chatLine()}\n\n${chatLine()}\n`)).status).toBe(200)
    expect((await post('/openai/v1/batches', BATCH)).status).toBe(200)
    const [asked] = proxy.gate.admitted
    expect(asked?.subject.model).toBe('gpt-5.4')
    // Two answers of 1,000 tokens at $15 a million are $0.03; the input is small. No batch discount yet.
    expect(Number(asked?.bound_nanos)).toBeGreaterThan(30_000_000)
    expect(Number(asked?.bound_nanos)).toBeLessThan(45_000_000)
    expect(proxy.gate.held()).toBe(asked?.bound_nanos)
    await (await get('/openai/v1/batches/batch_1')).text()
    // Half price: 100 × $1.25 and 50 × $7.5 a million.
    expect(proxy.gate.spent()).toBe(500_000n)
    expect(proxy.gate.held()).toBe(0n)
  })

  test('that is not affordable is refused', async () => {
    const { upload, post, far_end } = await setUp({ limit_nanos: 1_000_000n })
    await upload(`${chatLine()}\n${chatLine()}`)
    const { status, text } = await post('/openai/v1/batches', BATCH)
    expect(status).toBe(429)
    expect(text).toContain('cannot hold this request, which can cost up to $0.0')
    expect(far_end.seen.map(({ url }) => url)).toEqual(['/v1/files'])
  })

  test.each([
    ['that nobody saw', undefined],
    ['of two models', `${chatLine('gpt-5.4')}\n${chatLine('gpt-5.4-mini')}`],
    ['of a model without a price', chatLine('nobody-knows-it')],
    ['with a line that is none', `${chatLine()}\nnot json`],
    ['with an endpoint that no rule bounds', chatLine().replace('chat/completions', 'videos')],
    [
      'with a limit that stands twice',
      chatLine().replace('"model"', '"max_tokens":1,"max_tokens":9,"model"'),
    ],
  ])('%s passes where no budget binds, and is refused where one does', async (_, content) => {
    for (const [limit_nanos, wanted] of [
      [undefined, 200],
      [ONE_DOLLAR, 400],
    ] as const) {
      const { upload, post } = await setUp(limit_nanos === undefined ? {} : { limit_nanos })
      if (content !== undefined) expect((await upload(content)).status).toBe(200)
      const { status, text } = await post('/openai/v1/batches', BATCH)
      expect(status).toBe(wanted)
      if (wanted === 400) expect(text).toContain('uploaded through Outlay')
    }
  })

  test('is open to a key for its model alone', async () => {
    const allowsModel = (_: string, model: string) => model === 'gpt-5.4'
    const keys = { [WRAPPED]: wrappedKey({ allowsModel }) }
    const { upload, post } = await setUp({ keys })
    expect((await post('/openai/v1/batches', BATCH)).status).toBe(403)
    await upload(chatLine('gpt-5.4'))
    expect((await post('/openai/v1/batches', BATCH)).status).toBe(200)
  })

  test('a file for another purpose is only passed on', async () => {
    const { upload, post } = await setUp({ limit_nanos: ONE_DOLLAR })
    expect((await upload(chatLine(), 'assistants')).status).toBe(200)
    expect((await post('/openai/v1/batches', BATCH)).status).toBe(400)
  })
})

describe('a batch in its body', () => {
  const params = (model: string) => ({ model, max_tokens: 1_000, messages: [] })
  const request = (model: string) => ({ custom_id: 'a', params: params(model) })
  const sonnet = request('claude-sonnet-4-6')

  test('is held at the sum of its requests, and charged by its results', async () => {
    const { post, get, proxy } = await setUp({ limit_nanos: ONE_DOLLAR })
    const made = await post('/anthropic/v1/messages/batches', { requests: [sonnet, sonnet] })
    expect(made.status).toBe(200)
    const [asked] = proxy.gate.admitted
    expect(Number(asked?.bound_nanos)).toBeGreaterThan(30_000_000)
    expect(Number(asked?.bound_nanos)).toBeLessThan(60_000_000)
    await (await get('/anthropic/v1/messages/batches/msgbatch_1/results')).text()
    // 20 × $1.5 and 50 × $7.5 a million.
    expect(proxy.gate.spent()).toBe(405_000n)
    expect(proxy.gate.held()).toBe(0n)
    expect(proxy.events().find(({ usage }) => usage.requests === 2)).toMatchObject({
      model: 'claude-sonnet-4-6',
      service_tier: 'batch',
      quality: 'exact',
    })
  })

  test('of several models asks the budgets of each, and is refused where one binds', async () => {
    const requests = [sonnet, request('claude-haiku-4-5')]
    const { post, proxy } = await setUp({ limit_nanos: ONE_DOLLAR })
    const { status, text } = await post('/anthropic/v1/messages/batches', { requests })
    expect(status).toBe(400)
    expect(text).toContain('must be of one model')
    expect(proxy.gate.admitted.map(({ subject }) => subject.model)).toEqual(['claude-sonnet-4-6'])
    const free = await setUp()
    expect((await free.post('/anthropic/v1/messages/batches', { requests })).status).toBe(200)
    expect(free.proxy.gate.admitted.map(({ subject }) => subject.model)).toEqual([
      'claude-sonnet-4-6',
      'claude-haiku-4-5',
      '',
    ])
  })

  test('is refused when one of its models is not open to the key', async () => {
    const allowsModel = (_: string, model: string) => model === 'claude-haiku-4-5'
    const { post } = await setUp({ keys: { [WRAPPED]: wrappedKey({ allowsModel }) } })
    const requests = [request('claude-haiku-4-5'), sonnet]
    expect((await post('/anthropic/v1/messages/batches', { requests })).status).toBe(403)
  })

  test('with a member that stands twice, however deep, is refused', async () => {
    const { post, far_end } = await setUp()
    const body = JSON.stringify({ requests: [sonnet] })
    const twice = body.replace('"max_tokens":1000', '"max_tokens":99999,"max_tokens":1')
    expect((await post('/anthropic/v1/messages/batches', twice)).status).toBe(400)
    expect(far_end.seen).toEqual([])
  })
})

test('searches are counted in all results of a batch', () => {
  const meter = messageBatchApi.createMeter(NO_ASK)
  for (const web_search_requests of [1, 2]) {
    const usage = { input_tokens: 1, output_tokens: 1, server_tool_use: { web_search_requests } }
    const message = { model: 'claude-sonnet-4-6', usage }
    meter.take({ custom_id: 'a', result: { type: 'succeeded', message } })
  }
  expect(meter.reading()?.usage).toMatchObject({ requests: 2, unit: 'web_search', units: 3 })
})

test('a duplicate is found at any depth, and only where there is one', () => {
  const find = (text: string) => findDuplicateAnywhere(Buffer.from(text))
  expect(find('{"a":[{"b":1,"c":{"b":2}},{"b":3}],"b":"\\"a\\":1,\\"a\\":2"}')).toBeUndefined()
  expect(find('{"a":[{"b":1},{"b":3,"\\u0062":4}]}')).toBe('b')
  expect(find('{"a":["a","a",{"a":{"x":["x"],"y":1,"x":2}}]}')).toBe('x')
  expect(find('{"":1,"":2}')).toBe('')
  expect(find(`${'['.repeat(200_000)}${']'.repeat(200_000)}`)).toBeUndefined()
})

import { request } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, SECRETS, sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

const CHAT = { model: 'gpt-5.4', messages: [{ role: 'user', content: 'hello' }] }
const bearer = { authorization: `Bearer ${WRAPPED}` }

async function setUp(options = {}) {
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
  const proxy = await startWith(far_end, options)
  return {
    far_end,
    proxy,
    post: (path: string, body: unknown, headers: Record<string, string> = bearer) =>
      fetch(`${proxy.url}/proxy${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body),
      }),
  }
}

describe('paths', () => {
  test.each([
    ['/openai/v1/chat/completions', '/v1/chat/completions'],
    ['/openai/chat/completions', '/v1/chat/completions'],
    ['/openai/v1/v1/chat/completions', '/v1/chat/completions'],
    ['/anthropic/v1/messages', '/v1/messages'],
    ['/anthropic/messages', '/v1/messages'],
    ['/anthropic/v1/v1/messages', '/v1/messages'],
    ['/anthropic/v1/messages?beta=true', '/v1/messages?beta=true'],
    [
      '/google/v1beta/models/gemini-2.5-flash:generateContent',
      '/v1beta/models/gemini-2.5-flash:generateContent',
    ],
    ['/google/v1beta/openai/chat/completions', '/v1beta/openai/chat/completions'],
    ['/google', '/v1beta/models/gpt-5.4:generateContent'],
    ['/compat/local/chat/completions', '/base/chat/completions'],
    ['/compat/local/v1/chat/completions', '/base/chat/completions'],
  ])('%s goes to %s', async (path, wanted) => {
    const { far_end, post, proxy } = await setUp()
    expect((await post(path, { ...CHAT, max_tokens: 10 })).status).toBe(200)
    expect(far_end.seen.map(({ url }) => url)).toEqual([wanted])
    expect(proxy.events()).toHaveLength(1)
  })

  test.each([
    ['/openai/v1/realtime/client_secrets', 403],
    ['/openai/v1/vector_stores', 403],
    ['/openai/v1/assistants', 403],
    ['/openai/v1/something/new', 404],
    ['/openai/v1/files/../chat/completions', 404],
    ['/openai/v1/models/%2e%2e/chat/completions', 404],
    ['/anthropic/v1/organizations/cost_report', 404],
    ['/google/v1beta/cachedContents', 403],
    ['/google/v1beta/models/gemini-2.5-flash:predict', 404],
    ['/google/v1beta/models/..%2fx:generateContent', 404],
    ['/nobody/v1/chat/completions', 404],
    ['/compat/unknown/chat/completions', 404],
  ])('%s is answered %i, and nothing leaves', async (path, status) => {
    const { far_end, proxy } = await setUp()
    const answer = await raw(proxy.url, path)
    expect(answer).toBe(status)
    expect(far_end.seen).toEqual([])
  })

  test('the root of a mount answers without a key, as clients probe it', async () => {
    const { proxy, far_end } = await setUp()
    for (const mount of ['openai/v1', 'openai', 'anthropic', 'google', 'compat/local'])
      for (const method of ['HEAD', 'GET'])
        expect((await fetch(`${proxy.url}/proxy/${mount}`, { method })).status).toBe(200)
    expect(far_end.seen).toEqual([])
  })

  test('a WebSocket is refused with 426, so that clients fall back to HTTP at once', async () => {
    const { proxy } = await setUp()
    const { port } = new URL(proxy.url)
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write(
          `GET /proxy/openai/v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
        ),
      )
      socket.once('data', (data) => {
        resolve(data.toString())
        socket.destroy()
      })
    })
    expect(answer).toMatch(/^HTTP\/1.1 426 /)
  })
})

describe('keys and headers', () => {
  test.each([
    ['authorization', { authorization: `Bearer ${WRAPPED}` }, ''],
    ['x-api-key', { 'x-api-key': WRAPPED }, ''],
    ['x-goog-api-key', { 'x-goog-api-key': WRAPPED }, ''],
    ['the query', {}, `?key=${WRAPPED}&alt=json`],
    ['two places at once', { authorization: `Bearer ${WRAPPED}`, 'x-api-key': WRAPPED }, ''],
    ['beside a foreign one', { authorization: `Bearer ${WRAPPED}`, 'x-api-key': 'sk-other' }, ''],
  ])('a key in %s opens, and goes no further', async (_, headers, query) => {
    const { far_end, post } = await setUp()
    const path = `/google/v1beta/models/gemini-2.5-flash:generateContent${query}`
    expect((await post(path, { contents: [] }, headers as Record<string, string>)).status).toBe(200)
    const [seen] = far_end.seen
    expect(JSON.stringify([seen?.url, seen?.headers])).not.toMatch(/olk_|sk-other/)
    expect(seen?.headers['x-goog-api-key']).toBe(SECRETS.google)
    expect(seen?.headers.authorization).toBeUndefined()
    if (query) expect(seen?.url).toMatch(/\?alt=json$/)
  })

  test.each([
    ['2023-06-01', 'x-api-key', SECRETS.anthropic],
    ['2026-10-21', 'authorization', `Bearer ${SECRETS.anthropic}`],
  ])('the Anthropic key of version %s goes out in %s alone', async (version, name, value) => {
    const { far_end, post } = await setUp()
    await post(
      '/anthropic/v1/messages',
      { ...CHAT, max_tokens: 5 },
      { ...bearer, 'anthropic-version': version },
    )
    const headers = far_end.seen[0]?.headers ?? {}
    expect(headers[name]).toBe(value)
    expect(Number('x-api-key' in headers) + Number('authorization' in headers)).toBe(1)
    expect(headers['anthropic-version']).toBe(version)
  })

  test('two different wrapped keys are ambiguous, and open nothing', async () => {
    const { far_end, post } = await setUp()
    const answer = await post('/openai/v1/chat/completions', CHAT, {
      ...bearer,
      'x-api-key': 'olk_other_0000',
    })
    expect(answer.status).toBe(401)
    expect(far_end.seen).toEqual([])
  })

  test('headers of one connection, of the client’s account and of gateways end at the proxy', async () => {
    const { far_end, post } = await setUp()
    await post('/openai/v1/chat/completions', CHAT, {
      ...bearer,
      cookie: 'a=b',
      'openai-organization': 'org-mine',
      'x-forwarded-for': '1.2.3.4',
      'accept-encoding': 'gzip, br',
      'x-tag-team': 'alpha',
      'helicone-auth': 'Bearer x',
      'x-stainless-retry-count': '1',
      'idempotency-key': 'i1',
      'openai-beta': 'x=y',
    })
    const headers = far_end.seen[0]?.headers ?? {}
    for (const name of [
      'cookie',
      'openai-organization',
      'x-forwarded-for',
      'x-tag-team',
      'helicone-auth',
    ])
      expect(headers[name]).toBeUndefined()
    expect(headers).toMatchObject({
      'accept-encoding': 'identity',
      'x-stainless-retry-count': '1',
      'idempotency-key': 'i1',
      'openai-beta': 'x=y',
      authorization: `Bearer ${SECRETS.openai}`,
    })
  })

  test('tags of a client add to those of the key, and never replace them', async () => {
    const key = wrappedKey({ tags: { team: 'alpha' }, user: 'ann', workspace: 'w1' })
    const { post, proxy } = await setUp({ keys: { [WRAPPED]: key } })
    await post(
      '/openai/v1/chat/completions',
      { ...CHAT, user: 'someone-else' },
      {
        ...bearer,
        'x-tag-team': 'beta',
        'x-outlay-tags': 'team=gamma,job=nightly',
        'x-litellm-end-user-id': 'mallory',
        'x-claude-code-session-id': '0b5c7d1e-1111-2222-3333-444455556666',
      },
    )
    const subject = proxy.gate.admitted[0]?.subject
    expect(subject).toMatchObject({
      wrapped_key: 'test',
      user: 'ann',
      workspace: 'w1',
      session: '0b5c7d1e-1111-2222-3333-444455556666',
      tags: { team: 'alpha', job: 'nightly' },
    })
    expect(proxy.events()[0]).toMatchObject({
      user: 'ann',
      wrapped_key: 'test',
      tags: subject?.tags,
    })
  })

  test.each([
    ['expired', 401],
    ['revoked', 401],
    ['paused', 401],
    ['wrong_kind', 401],
    ['unknown', 401],
  ] as const)(
    'a key that is %s is answered %i with its reason, without a retry',
    async (problem, status) => {
      const message = `This key is ${problem}.`
      const { post, far_end } = await setUp({ keys: { [WRAPPED]: { problem, message } } })
      const answer = await post('/openai/v1/chat/completions', CHAT)
      expect(answer.status).toBe(status)
      expect(answer.headers.get('x-should-retry')).toBe('false')
      expect(await answer.json()).toMatchObject({ error: { message, code: 'invalid_api_key' } })
      expect(far_end.seen).toEqual([])
    },
  )

  test('a key of another provider, another address, or over its speed is refused', async () => {
    const refuse = async (changes: Parameters<typeof wrappedKey>[0]) => {
      const { post } = await setUp({ keys: { [WRAPPED]: wrappedKey(changes) } })
      await post('/openai/v1/chat/completions', CHAT)
      return post('/openai/v1/chat/completions', CHAT)
    }
    expect((await refuse({ providers: ['google'] })).status).toBe(403)
    expect((await refuse({ allowsAddress: () => false })).status).toBe(403)
    const none = { requests_per_minute: null, tokens_per_minute: null, concurrent_requests: null }
    const fast = await refuse({ limits: { ...none, requests_per_minute: 1 } })
    expect(fast.status).toBe(429)
    expect(Number(fast.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(fast.headers.get('x-should-retry')).toBeNull()
    expect((await refuse({ limits: { ...none, tokens_per_minute: 10 } })).status).toBe(429)
    expect((await refuse({ limits: { ...none, concurrent_requests: 0 } })).status).toBe(429)
  })
})

describe('bodies', () => {
  test('a compressed body is read in passing and forwarded as it came', async () => {
    const { far_end, post, proxy } = await setUp()
    const bytes = gzipSync(JSON.stringify({ ...CHAT, stream: true }))
    const answer = await post('/openai/v1/chat/completions', bytes, {
      ...bearer,
      'content-encoding': 'gzip',
    })
    expect(answer.status).toBe(200)
    expect(far_end.seen[0]?.body.equals(bytes)).toBe(true)
    expect(proxy.gate.admitted[0]?.subject.model).toBe('gpt-5.4')
  })

  test.each([
    ['not JSON', 'not JSON', {}, 400],
    ['a list', '[1]', {}, 400],
    ['a member twice', '{"model":"a","messages":[],"model":"b"}', {}, 400],
    ['a hidden member twice', '{"model":"a","m\\u006fdel":"b"}', {}, 400],
    [
      'a nested member twice',
      '{"contents":[],"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9}}',
      {},
      400,
    ],
    ['an encoding nobody knows', '{}', { 'content-encoding': 'rot13' }, 415],
    ['an encoding that is not so', '{}', { 'content-encoding': 'gzip' }, 400],
    ['a bomb', gzipSync(Buffer.alloc(80 * 1024 * 1024)), { 'content-encoding': 'gzip' }, 413],
  ])('%s is refused before it leaves', async (_, body, headers, status) => {
    const { far_end, post } = await setUp()
    const path = '/openai/v1/chat/completions'
    const answer = await post(path, body, { ...bearer, ...headers })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject({ error: { message: expect.any(String) } })
    expect(far_end.seen).toEqual([])
  })

  test('a body over the cap is refused, and its connection can go on', async () => {
    const { far_end, post } = await setUp()
    const big = Buffer.alloc(64 * 1024 * 1024 + 1, 0x20)
    expect((await post('/anthropic/v1/messages', big)).status).toBe(413)
    expect((await post('/openai/v1/chat/completions', CHAT)).status).toBe(200)
    expect(far_end.seen).toHaveLength(1)
  })

  test.each([[1e9], ['"many"'], [-5], [1.5]])(
    'max_tokens %s bounds nothing: the model’s own limit does',
    async (cap) => {
      const { post, proxy } = await setUp()
      await post(
        '/openai/v1/chat/completions',
        `{"model":"gpt-5.4","messages":[],"max_tokens":${cap}}`,
      )
      await post('/openai/v1/chat/completions', {
        model: 'gpt-5.4',
        messages: [],
        max_tokens: 128_000,
      })
      const [absurd, largest] = proxy.gate.admitted
      // The bytes of the number itself are input too.
      expect(Number(absurd?.bound_nanos) / Number(largest?.bound_nanos)).toBeCloseTo(1, 3)
    },
  )

  test('a question that no one forwards is never held for: unpriced, and with tools without end', async () => {
    const { post, far_end } = await setUp({ limit_nanos: 1_000_000_000_000n })
    const refused = [
      await post('/openai/v1/chat/completions', { ...CHAT, model: 'gpt-99-mystery' }),
      await post('/openai/v1/responses', {
        model: 'gpt-5.4',
        input: 'x',
        tools: [{ type: 'web_search' }],
      }),
      await post('/openai/v1/batches', { input_file_id: 'f', endpoint: '/v1/chat/completions' }),
    ]
    for (const answer of refused) {
      expect(answer.status).toBe(400)
      expect(await answer.json()).toMatchObject({ error: { code: 'model_unpriced' } })
    }
    expect(far_end.seen).toEqual([])
  })
})

/** Sends the path as it is: `fetch` would tidy it up. */
function raw(url: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(url)
    const outgoing = request(
      {
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: `/proxy${path}`,
        headers: { ...bearer, 'content-type': 'application/json' },
      },
      (incoming) => {
        incoming.resume()
        resolve(incoming.statusCode)
      },
    )
    outgoing.on('error', reject)
    outgoing.end('{"model":"gpt-5.4"}')
  })
}

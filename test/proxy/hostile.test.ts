import { request } from 'node:http'
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

const MUCH = 10n ** 12n
const MESSAGES = [{ role: 'user', content: 'hello' }]

async function setUp(options: Parameters<typeof startWith>[1] = {}) {
  const far_end = await startFarEnd((outgoing, { body }) =>
    body.includes('refuse_option') && body.includes('stream_options')
      ? sendJson(outgoing, { error: { message: 'unknown: stream_options' } }, 400)
      : sendJson(outgoing, CHAT_ANSWER),
  )
  const proxy = await startWith(far_end, options)
  return {
    far_end,
    proxy,
    post: async (path: string, body: object | string | FormData, more = {}) => {
      const is_plain = typeof body === 'string' || body instanceof FormData
      const type = is_plain ? {} : { 'content-type': 'application/json' }
      const answer = await fetch(`${proxy.url}/proxy${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${WRAPPED}`, ...type, ...more },
        body: is_plain ? body : JSON.stringify(body),
      })
      return { status: answer.status, text: await answer.text(), headers: answer.headers }
    },
  }
}

const clamping = { [WRAPPED]: wrappedKey({ on_limit: 'clamp' }) }

describe('a limit under two names', () => {
  test.each([
    ['/compat/local/chat/completions', { max_tokens: 9_000, max_completion_tokens: 1 }],
    ['/openai/v1/chat/completions', { max_tokens: 1, max_completion_tokens: 9_000 }],
  ])('%s is held at the larger', async (path, caps) => {
    const { post, proxy } = await setUp({ limit_nanos: MUCH })
    await post(path, { model: 'gpt-5.4', messages: MESSAGES, ...caps })
    const one = await setUp({ limit_nanos: MUCH })
    await one.post('/openai/v1/chat/completions', {
      model: 'gpt-5.4',
      messages: MESSAGES,
      max_tokens: 9_000,
    })
    const [wide] = one.proxy.gate.admitted
    // A server without prices is refused anyway; the official one holds as much.
    if (path.startsWith('/openai'))
      expect(Number(proxy.gate.admitted[0]?.bound_nanos)).toBeGreaterThanOrEqual(
        Number(wide?.bound_nanos),
      )
    else expect(proxy.gate.admitted[0]?.bound_nanos).toBeNull()
  })

  test('is clamped under both', async () => {
    const { post, far_end } = await setUp({ limit_nanos: 30_000_000n, keys: clamping })
    const asked = { max_tokens: 50_000, max_completion_tokens: 60_000 }
    const body = { model: 'gpt-5.4', messages: MESSAGES, ...asked }
    const { status, headers } = await post('/openai/v1/chat/completions', body)
    expect(status).toBe(200)
    const cap = Number(/\d+/.exec(headers.get('x-outlay-clamped') ?? '')?.[0])
    expect(cap).toBeGreaterThan(15)
    expect(JSON.parse(String(far_end.seen[0]?.body))).toMatchObject({
      max_tokens: cap,
      max_completion_tokens: cap,
    })
  })

  test('of Gemini, in either spelling, is read and clamped where it stands', async () => {
    const path = '/google/v1beta/models/gemini-2.5-flash:generateContent'
    const contents = [{ parts: [{ text: 'hello' }] }]
    const { post, proxy } = await setUp({ limit_nanos: MUCH })
    await post(path, {
      contents,
      generationConfig: { maxOutputTokens: 1 },
      generation_config: { max_output_tokens: 60_000, candidate_count: 4 },
    })
    // 240,000 tokens at $2.5 a million are $0.60.
    expect(Number(proxy.gate.admitted[0]?.bound_nanos)).toBeGreaterThan(600_000_000)
    const clamp = async (generation_config: object) => {
      const small = await setUp({ limit_nanos: 20_000_000n, keys: clamping })
      await small.post(path, { contents, generation_config })
      return JSON.parse(String(small.far_end.seen[0]?.body))
    }
    const sent = await clamp({ max_output_tokens: 60_000 })
    expect(sent.generationConfig).toBeUndefined()
    expect(sent.generation_config.max_output_tokens).toBeLessThan(10_000)
    const inserted = await clamp({ temperature: 0 })
    expect(inserted.generationConfig).toBeUndefined()
    expect(inserted.generation_config).toMatchObject({ maxOutputTokens: expect.any(Number) })
  })
})

describe('a server that refuses the usage option', () => {
  const stream = { model: 'refuse_option', messages: MESSAGES, stream: true }

  test('gets the request again, as the client sent it', async () => {
    const { post, far_end } = await setUp()
    const { status } = await post('/compat/local/chat/completions', { ...stream, max_tokens: 7 })
    expect(status).toBe(200)
    const bodies = far_end.seen.map(({ body }) => String(body))
    expect(bodies).toHaveLength(2)
    expect(bodies[0]).toContain('include_usage')
    expect(bodies[1]).toBe(JSON.stringify({ ...stream, max_tokens: 7 }))
    await post('/compat/local/chat/completions', stream)
    expect(far_end.seen).toHaveLength(3)
  })

  test('is not believed where it is the real one, or where the option is the client’s own', async () => {
    const { post, far_end } = await setUp()
    expect((await post('/openai/v1/chat/completions', stream)).status).toBe(400)
    const own = { ...stream, stream_options: { include_obfuscation: false } }
    expect((await post('/compat/local/chat/completions', own)).status).toBe(400)
    expect(far_end.seen).toHaveLength(2)
    await post('/openai/v1/chat/completions', { ...stream, model: 'gpt-5.4' })
    expect(String(far_end.seen[2]?.body)).toContain('include_usage')
  })
})

describe('another model that can answer', () => {
  const cases = [
    [
      '/anthropic/v1/messages',
      {
        model: 'claude-haiku-4-5',
        max_tokens: 10,
        messages: MESSAGES,
        fallbacks: [{ model: 'claude-opus-4-6' }],
      },
    ],
    [
      '/anthropic/v1/messages',
      {
        model: 'claude-haiku-4-5',
        max_tokens: 10,
        messages: MESSAGES,
        tools: [
          { type: 'advisor_20260301', name: 'advisor', model: 'claude-opus-4-6', max_uses: 1 },
        ],
      },
    ],
    [
      '/openai/v1/chat/completions',
      { model: 'gpt-5.4-mini', models: ['gpt-5.4-pro'], max_tokens: 10, messages: MESSAGES },
    ],
  ] as const

  test.each(cases)('%s: must be open to the key too', async (path, body) => {
    const allowsModel = (_: string, model: string) => /haiku|mini/.test(model)
    const { post, far_end } = await setUp({ keys: { [WRAPPED]: wrappedKey({ allowsModel }) } })
    const { status, text } = await post(path, body)
    expect(status).toBe(403)
    expect(text).toMatch(/opus|pro/)
    expect(far_end.seen).toEqual([])
  })

  test.each(cases)(
    '%s: is refused where a budget blocks, and passes where none does',
    async (path, body) => {
      const { post } = await setUp({ limit_nanos: MUCH })
      expect((await post(path, body)).status).toBe(400)
      const free = await setUp()
      expect((await free.post(path, body)).status).toBe(200)
    },
  )
})

describe('what costs without saying so', () => {
  test.each([
    ['a search model', '/openai/v1/chat/completions', { model: 'gpt-4o-search-preview' }],
    ['a plug-in', '/openai/v1/chat/completions', { model: 'gpt-5.4', plugins: [{ id: 'web' }] }],
    ['a stored prompt', '/openai/v1/responses', { model: 'gpt-5.4', prompt: { id: 'pmpt_1' } }],
    [
      'a picture of no model',
      '/openai/v1/images/generations',
      { prompt: 'a cat', quality: 'high' },
    ],
  ])('%s is refused where a budget blocks', async (_, path, body) => {
    const { post, far_end } = await setUp({ limit_nanos: MUCH })
    expect((await post(path, { messages: MESSAGES, ...body })).status).toBe(400)
    expect(far_end.seen).toEqual([])
  })
})

describe('a form that servers could read otherwise', () => {
  const part = (head: string, value: string) => `--B\r\n${head}\r\n\r\n${value}\r\n`
  const named = (name: string, value: string) =>
    part(`content-disposition: form-data; name="${name}"`, value)
  const form = (extra: string) =>
    `${named('model', 'dall-e-2')}${named('prompt', 'x')}${extra}--B--\r\n`
  const type = 'multipart/form-data; boundary=B'

  test.each([
    ['a name without quotes', form(part('content-disposition: form-data; name=n', '10')), type],
    [
      'an extended name',
      form(part(`content-disposition: form-data; name="m"; name*=utf-8''n`, '10')),
      type,
    ],
    [
      'lines that end otherwise',
      form('--B\ncontent-disposition: form-data; name="n"\n\n10\n'),
      type,
    ],
    ['a name twice', form(named('n', '1') + named('n', '10')), type],
    ['two boundaries', form(named('n', '1')), `${type}; boundary=C`],
    ['no field at all', '{"model":"dall-e-2","n":10}', type],
  ])('%s is refused', async (_, body, content_type) => {
    const { post, far_end } = await setUp()
    const answer = await post('/openai/v1/images/edits', body, { 'content-type': content_type })
    expect(answer.status).toBe(400)
    expect(far_end.seen).toEqual([])
  })

  test('a form that is one passes', async () => {
    const { post, proxy } = await setUp()
    const body = form(named('n', '3'))
    const answer = await post('/openai/v1/images/edits', body, { 'content-type': type })
    expect(answer.status).toBe(200)
    expect(proxy.gate.admitted).toHaveLength(1)
  })
})

test.each(['content-type', 'content-encoding'])('two %s headers are refused', async (name) => {
  const { proxy, far_end } = await setUp()
  const { port } = new URL(proxy.url)
  const status = await new Promise((resolve) => {
    const headers = ['authorization', `Bearer ${WRAPPED}`, name, 'a/b', name.toUpperCase(), 'c/d']
    const path = '/proxy/openai/v1/chat/completions'
    const outgoing = request({ port, path, method: 'POST', headers }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    outgoing.end(JSON.stringify({ model: 'gpt-5.4', messages: [] }))
  })
  expect(status).toBe(400)
  expect(far_end.seen).toEqual([])
})

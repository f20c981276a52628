import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

const MESSAGES = [{ role: 'user', content: 'hello' }]
const CHAT = '/openai/v1/chat/completions'
const generate = (model: string) => `/google/v1beta/models/${model}:generateContent`
const CONTENTS = [{ parts: [{ text: 'a cat' }] }]

/** What the gate is asked to hold for a request; null: nothing bounds it. */
async function boundOf(
  path: string,
  body: object | Buffer,
  headers: Record<string, string> = {},
): Promise<number | null> {
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
  const { url } = far_end
  const names = ['openrouter', 'mistral', 'groq']
  const proxy = await startWith(far_end, {
    base_urls: {
      openai: `${url}/v1`,
      anthropic: url,
      google: url,
      ...Object.fromEntries(names.map((name) => [name, `${url}/v1`])),
    },
    secrets: Object.fromEntries(
      ['openai', 'anthropic', 'google', ...names].map((name) => [name, `real-${name}-0123456789`]),
    ),
    keys: {
      [WRAPPED]: wrappedKey({ providers: ['openai', 'anthropic', 'google', ...names] }),
    },
  })
  await fetch(`${proxy.url}/proxy${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${WRAPPED}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: body instanceof Buffer ? new Uint8Array(body) : JSON.stringify(body),
  })
  const bound = proxy.gate.admitted.at(-1)?.bound_nanos
  if (bound === undefined) throw new Error('the request was not admitted')
  return bound === null ? null : Number(bound)
}

describe('input', () => {
  test('is bounded by the bytes of its text, compressed or not', async () => {
    // Four bytes each, which can be as many tokens, and two characters of JavaScript.
    const messages = [{ role: 'user', content: '\u{20000}'.repeat(10_000) }]
    const body = { model: 'gpt-4o', max_tokens: 1, messages }
    const plain = await boundOf(CHAT, body)
    const zipped = await boundOf(CHAT, gzipSync(JSON.stringify(body)), {
      'content-encoding': 'gzip',
    })
    expect(plain).not.toBeNull()
    expect(zipped).toBe(plain)
  })
  test.each([
    ['a document by its address', { type: 'document_url', document_url: 'https://a.test/b.pdf' }],
    ['a part of a kind that nobody knows', { type: 'hologram', id: 'h1' }],
  ])('%s can fill the context window', async (_, part) => {
    const ask = (content: unknown) =>
      boundOf('/compat/mistral/chat/completions', {
        model: 'mistral-large-latest',
        max_tokens: 10,
        messages: [{ role: 'user', content }],
      })
    expect(await ask([{ type: 'text', text: 'hello' }])).toBeLessThan(10_000_000)
    // Two million tokens at two dollars a million.
    expect(await ask([part])).toBeGreaterThan(4_000_000_000)
  })

  test('an earlier answer’s recording, by its id, is as long as it is', async () => {
    const messages = [{ role: 'assistant', audio: { id: 'audio_1' } }, ...MESSAGES]
    const bound = await boundOf(CHAT, { model: 'gpt-audio', max_tokens: 10, messages })
    expect(bound).toBeGreaterThan(30_000_000_000)
  })
})

describe('output', () => {
  test('of a completion without a limit is the model’s, except at OpenAI', async () => {
    const ask = (path: string, model: string, more = {}) =>
      boundOf(path, { model, prompt: 'x', ...more })
    const compat = '/compat/openrouter/completions'
    // 200,000 tokens at ten dollars a million; sixteen at two.
    expect(await ask(compat, 'openai/gpt-4o')).toBeGreaterThan(2_000_000_000)
    expect(await ask('/openai/v1/completions', 'gpt-3.5-turbo-instruct')).toBeLessThan(2_000_000)
    const two = { max_tokens: 1, max_completion_tokens: 9_000 }
    expect(await ask(compat, 'openai/gpt-4o', two)).toBeGreaterThan(90_000_000)
  })

  test('of a model that draws is a picture where nothing else is asked for', async () => {
    const ask = (generationConfig: object) =>
      boundOf(generate('gemini-3-pro-image-preview'), { contents: CONTENTS, generationConfig })
    const picture = await ask({ maxOutputTokens: 4_000, responseModalities: ['IMAGE'] })
    // 4,000 tokens at $120 a million.
    expect(picture).toBeGreaterThan(480_000_000)
    expect(await ask({ maxOutputTokens: 4_000 })).toBeGreaterThan(480_000_000)
    expect(await ask({ maxOutputTokens: 4_000, responseModalities: ['TEXT'] })).toBeLessThan(
      60_000_000,
    )
  })

  test('of pictures covers the largest ones', async () => {
    const body = { model: 'gpt-image-2', prompt: 'a cat', n: 10, size: '2880x2880' }
    // Ten of 23,718 tokens at $30 a million.
    expect(await boundOf('/openai/v1/images/generations', body)).toBeGreaterThan(7_115_400_000)
  })

  test('is multiplied by a number of answers that only the server can read', async () => {
    const ask = (candidateCount: unknown) =>
      boundOf(generate('gemini-2.5-flash'), {
        contents: CONTENTS,
        generationConfig: { maxOutputTokens: 10_000, candidateCount },
      })
    expect(Number(await ask('8.0'))).toBeGreaterThan(8 * 25_000_000)
    expect(await ask(8)).toBeGreaterThan(8 * 25_000_000)
    expect(await ask(null)).toBeLessThan(2 * 25_000_000)
  })

  test('of an interaction is limited under any name that Google takes', async () => {
    const ask = (limits: object) =>
      boundOf('/google/v1beta/interactions', { model: 'gemini-2.5-flash', input: 'x', ...limits })
    const long = await ask({ generation_config: { max_output_tokens: 60_000 } })
    const both = await ask({
      generation_config: { max_output_tokens: 1 },
      generationConfig: { maxOutputTokens: 60_000 },
    })
    expect(both).toBe(long)
  })
})

describe('the tier', () => {
  test.each([[3], ['SERVICE_TIER_PRIORITY'], ['flex', 'priority']])(
    '%s %s can be the dearest',
    async (serviceTier, service_tier: unknown = undefined) => {
      const ask = (tiers: object) =>
        boundOf(generate('gemini-2.5-pro'), {
          contents: CONTENTS,
          generationConfig: { maxOutputTokens: 10_000 },
          ...tiers,
        })
      expect(Number(await ask({ serviceTier, service_tier }))).toBeGreaterThan(180_000_000)
      expect(Number(await ask({}))).toBeLessThan(120_000_000)
    },
  )

  test('that was dearest need not be so under a clamp', async () => {
    // Held at the priority tier, whose prompts are short; at this length the standard one is dearer at first.
    const messages = [{ role: 'user', content: 'x'.repeat(300_000) }]
    const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
    const proxy = await startWith(far_end, {
      limit_nanos: 1_600_000_000n,
      keys: { [WRAPPED]: wrappedKey({ on_limit: 'clamp' }) },
    })
    const answer = await fetch(`${proxy.url}/proxy${CHAT}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${WRAPPED}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-5.4', messages }),
    })
    const cap = Number(/\d+/.exec(answer.headers.get('x-outlay-clamped') ?? '')?.[0])
    // 300,000 tokens at five dollars a million are $1.50 of it.
    expect(cap * 22.5e-6).toBeLessThan(0.1)
  })
})

describe('nothing bounds', () => {
  const chat = { model: 'openai/gpt-4o', max_tokens: 10, messages: MESSAGES }
  const message = { model: 'claude-haiku-4-5', max_tokens: 10, messages: MESSAGES }
  const search = { type: 'web_search_20250305', name: 'web_search' }
  const searching = { type: 'tool_addition', tool: { type: 'tool_definition', definition: search } }
  const response = { model: 'gpt-5-nano', max_output_tokens: 16, max_tool_calls: 1, input: 'x' }
  test.each<[string, string, object]>([
    [
      'another model of a completion',
      '/compat/openrouter/completions',
      { ...chat, prompt: 'x', models: ['openai/o1-pro'] },
    ],
    [
      'a plug-in of a response',
      '/compat/openrouter/responses',
      { model: 'openai/gpt-4o', max_output_tokens: 10, input: 'x', plugins: [{ id: 'web' }] },
    ],
    [
      'a tool that the server runs',
      '/compat/openrouter/chat/completions',
      { ...chat, tools: [{ type: 'openrouter:web_search' }] },
    ],
    [
      'a browser',
      '/compat/groq/chat/completions',
      { ...chat, model: 'openai/gpt-oss-20b', tools: [{ type: 'browser_search' }] },
    ],
    [
      'a picture within a response',
      '/openai/v1/responses',
      { ...response, tools: [{ type: 'image_generation' }] },
    ],
    [
      'a container',
      '/openai/v1/responses',
      { ...response, tools: [{ type: 'code_interpreter', container: { type: 'auto' } }] },
    ],
    [
      'the older search with a model that does not reason',
      '/openai/v1/responses',
      { ...response, model: 'gpt-4.1', tools: [{ type: 'web_search_preview' }] },
    ],
    [
      'servers of tools',
      generate('gemini-2.5-flash'),
      { contents: CONTENTS, tools: [{ mcpServers: [{ name: 'x' }] }] },
    ],
    [
      'tools that an earlier turn of a response brings along',
      '/openai/v1/responses',
      {
        model: 'gpt-5-nano',
        max_output_tokens: 16,
        input: [{ type: 'additional_tools', role: 'developer', tools: [{ type: 'web_search' }] }],
      },
    ],
    [
      'whatever fallback Anthropic picks',
      '/anthropic/v1/messages',
      { ...message, fallbacks: 'default' },
    ],
    [
      'a thread that is continued',
      '/anthropic/v1/messages',
      { ...message, thread: { type: 'continue', previous_message_id: 'msg_1' } },
    ],
    [
      'a tool that a message adds',
      '/anthropic/v1/messages',
      { ...message, messages: [...MESSAGES, { role: 'system', content: [searching] }] },
    ],
    [
      'a tool of a kind that nobody knows',
      '/anthropic/v1/messages',
      { ...message, tools: [{ type: 'time_machine_20991231', name: 'time_machine' }] },
    ],
    ['sound without a price', CHAT, { ...chat, model: 'gpt-4o-audio-preview', audio: {} }],
    [
      'pictures without a price',
      '/compat/openrouter/chat/completions',
      { ...chat, modalities: ['image', 'text'] },
    ],
    [
      'an hour of cache without a price',
      '/compat/openrouter/chat/completions',
      {
        ...chat,
        model: 'anthropic/claude-opus-4.5',
        cache_control: { type: 'ephemeral', ttl: '1h' },
      },
    ],
  ])('%s', async (_, path, body) => {
    expect(await boundOf(path, body)).toBeNull()
  })

  test('but a thread that begins, and tools of the client, are bounded', async () => {
    const ask = (more: object) => boundOf('/anthropic/v1/messages', { ...message, ...more })
    expect(await ask({ thread: { type: 'create' } })).toBeGreaterThan(0)
    const tools = [
      { type: 'bash_20250124', name: 'bash' },
      { name: 'f', input_schema: {} },
    ]
    expect(await ask({ tools })).toBeGreaterThan(0)
    expect(await ask({ fallbacks: null, thread: null })).toBeGreaterThan(0)
  })

  test('but functions of the client are bounded', async () => {
    const tools = [{ type: 'function', function: { name: 'f' } }]
    const path = '/compat/openrouter/chat/completions'
    expect(await boundOf(path, { ...chat, tools })).toBeGreaterThan(0)
    const functionDeclarations = [{ name: 'f' }]
    expect(
      await boundOf(generate('gemini-2.5-flash'), {
        contents: CONTENTS,
        tools: [{ functionDeclarations }],
      }),
    ).toBeGreaterThan(0)
  })
})

import { expect, test } from 'vitest'
import { priceEvent } from '../../src/ledger/record.ts'
import { CHAT_ANSWER, sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

/** A Gemini that has searched for two things, and knows where one of them is. */
function answerOf(model: string, chunks: readonly object[]) {
  const groundingMetadata = { webSearchQueries: ['a', 'b'], groundingChunks: chunks }
  const candidate = {
    content: { parts: [{ text: 'ok' }] },
    finishReason: 'STOP',
    groundingMetadata,
  }
  const usageMetadata = {
    promptTokenCount: 1_000,
    candidatesTokenCount: 100,
    totalTokenCount: 1_100,
  }
  return { candidates: [candidate], modelVersion: model, usageMetadata }
}

async function ask(model: string, options = {}, chunks: readonly object[] = []) {
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, answerOf(model, chunks)))
  const proxy = await startWith(far_end, options)
  const answer = await fetch(`${proxy.url}/proxy/google/v1beta/models/${model}:generateContent`, {
    method: 'POST',
    headers: { 'x-goog-api-key': WRAPPED, 'content-type': 'application/json' },
    body: JSON.stringify({
      contents: [{ parts: [{ text: 'Where is it?' }] }],
      tools: [{ googleSearch: {} }],
    }),
  })
  const [event] = proxy.events()
  return {
    status: answer.status,
    text: await answer.text(),
    event,
    cost: event && priceEvent(proxy.catalog, event),
  }
}

test('searches of Gemini 3 are billed by the query, on top of the tokens', async () => {
  const { event, cost } = await ask('gemini-3-flash-preview')
  expect(event?.usage).toMatchObject({ unit: 'web_search', units: 2, output_tokens: 100 })
  // Two of $14 a thousand; 1,000 × $0.50 and 100 × $3 a million.
  expect(cost?.nanos).toBe(28_000_000n + 500_000n + 300_000n)
})

test('older models are billed by the prompt: no price of a query is made up', async () => {
  const { event, cost } = await ask('gemini-2.5-flash')
  expect(event?.usage).toMatchObject({ unit: 'web_search', units: 2 })
  expect(cost).toMatchObject({
    nanos: null,
    unpriced_reason: 'gemini-2.5-flash has no price for a web_search',
  })
})

test('maps have a fee that is in no count: what is known is an estimate', async () => {
  const chunks = [{ maps: { placeId: 'x' } }]
  const { event } = await ask('gemini-3-flash-preview', {}, chunks)
  expect(event?.quality).toBe('estimated')
})

test('a budget that blocks refuses a search, since nothing limits how many there are', async () => {
  const { status, text } = await ask('gemini-3-flash-preview', { limit_nanos: 10n ** 12n })
  expect(status).toBe(400)
  expect(text).toContain('a tool in it has no limit of uses')
})

async function send(path: string, body: object, answered: object) {
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, answered))
  const { url } = far_end
  const proxy = await startWith(far_end, {
    base_urls: { openai: `${url}/v1`, google: url, openrouter: `${url}/v1` },
    secrets: { openai: 'real-1-0123456789', google: 'real-2-0123456789', openrouter: 'real-3-012' },
    keys: { [WRAPPED]: wrappedKey({ providers: ['openai', 'google', 'openrouter'] }) },
  })
  await fetch(`${proxy.url}/proxy${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${WRAPPED}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const [event] = proxy.events()
  return { event, cost: event && priceEvent(proxy.catalog, event) }
}

test.each(['image_generation_call', 'code_interpreter_call', 'shell_call'])(
  'a %s has a fee that is in no count: what is known is an estimate',
  async (type) => {
    const usage = { input_tokens: 90, output_tokens: 12, total_tokens: 102 }
    const said = { id: 'r', status: 'completed', model: 'gpt-5.4', usage }
    const ask = (output: object[]) =>
      send('/openai/v1/responses', { model: 'gpt-5.4', input: 'x' }, { ...said, output })
    expect((await ask([{ type }])).event).toMatchObject({ quality: 'estimated' })
    expect((await ask([{ type: 'message' }])).event).toMatchObject({ quality: 'exact' })
  },
)

test('so has a chat that searches', async () => {
  const model = 'gpt-4o-search-preview'
  const ask = (path: string, usage: object) =>
    send(path, { model, messages: [] }, { ...CHAT_ANSWER, model, usage })
  const tokens = CHAT_ANSWER.usage
  expect((await ask('/openai/v1/chat/completions', tokens)).event?.quality).toBe('estimated')
})

test.each([
  ['/compat/openrouter/chat/completions', { messages: [] }],
  ['/compat/openrouter/responses', { input: 'x' }],
])('%s: what the server itself says a request cost is what it cost', async (path, asked) => {
  const usage = { ...CHAT_ANSWER.usage, input_tokens: 12, output_tokens: 2, cost: 0.0123 }
  const model = 'openai/gpt-4o'
  const { cost } = await send(path, { model, ...asked }, { ...CHAT_ANSWER, model, usage })
  expect(cost).toMatchObject({ nanos: 12_300_000n, rule: 'reported' })
})

test('an interaction is counted by what its tokens are, and its searches', async () => {
  const by = (modality: string, tokens: number) => [{ modality, tokens }]
  const usage = {
    total_input_tokens: 1_000,
    total_output_tokens: 100,
    input_tokens_by_modality: by('audio', 400),
    output_tokens_by_modality: by('text', 100),
    grounding_tool_count: [{ type: 'google_search', count: 2 }],
  }
  const model = 'gemini-3-flash-preview'
  const { event, cost } = await send(
    '/google/v1beta/interactions',
    { model, input: 'x' },
    { id: 'i', status: 'completed', model, usage },
  )
  expect(event).toMatchObject({
    quality: 'exact',
    usage: { input_audio_tokens: 400, uncached_input_tokens: 600, unit: 'web_search', units: 2 },
  })
  // 600 × $0.50, 400 × $1 and 100 × $3 a million; two of $14 a thousand.
  expect(cost?.nanos).toBe(300_000n + 400_000n + 300_000n + 28_000_000n)
})

test('speech is priced', async () => {
  const body = { model: 'gpt-4o-mini-tts', input: 'hello', voice: 'alloy' }
  const { cost } = await send('/openai/v1/audio/speech', body, {})
  expect(cost?.nanos).toBeGreaterThan(0n)
})

import { describe, expect, test } from 'vitest'
import type { AttributeValue } from '../../../src/otlp/signal.ts'
import { logRecord, logs, openBook, span, traces } from '../telemetry.ts'

type Given = Record<string, AttributeValue>

const CHAT: Given = {
  'gen_ai.operation.name': 'chat',
  'gen_ai.provider.name': 'openai',
  'gen_ai.request.model': 'gpt-4o',
  'gen_ai.response.model': 'gpt-4o-2024-08-06',
  'gen_ai.response.id': 'chatcmpl-1',
  'gen_ai.conversation.id': 'talk-1',
  'gen_ai.usage.input_tokens': 1_000,
  'gen_ai.usage.output_tokens': 100,
}

async function booked(...spans: ReturnType<typeof span>[]) {
  const { book, entries } = await openBook()
  for (let i = 0; i < 2; i++)
    expect(await book(traces(...spans))).toEqual({ rejected: 0, message: '' })
  return entries()
}

describe('the conventions for generative AI', () => {
  test.each<[string, Given, object]>([
    [
      'today',
      {
        ...CHAT,
        'gen_ai.usage.cache_read.input_tokens': 600,
        'gen_ai.usage.cache_write.input_tokens': 100,
        'gen_ai.usage.reasoning.output_tokens': 40,
      },
      { uncached: 300, cached: 600, written: 100, output: 100, reasoning: 40 },
    ],
    [
      'before cache writes were renamed',
      { ...CHAT, 'gen_ai.usage.cache_creation.input_tokens': '250' },
      { uncached: 750, written: 250 },
    ],
    [
      'of OpenLLMetry',
      {
        'llm.request.type': 'chat',
        'gen_ai.system': 'az.ai.openai',
        'gen_ai.request.model': 'gpt-4o',
        'gen_ai.usage.prompt_tokens': 1_000,
        'gen_ai.usage.completion_tokens': 100,
        'gen_ai.usage.cache_read_input_tokens': 400,
      },
      { provider: 'azure', uncached: 600, cached: 400, output: 100 },
    ],
    [
      'of LangSmith',
      {
        'langsmith.span.kind': 'llm',
        'gen_ai.system': 'openai',
        'gen_ai.request.model': 'gpt-4o',
        'gen_ai.usage.input_tokens': 1_000,
        'gen_ai.usage.output_tokens': 100,
      },
      { provider: 'openai', uncached: 1_000, output: 100, cost: '3500000' },
    ],
    [
      'with the cache beside the input, as Anthropic counts',
      {
        ...CHAT,
        'gen_ai.provider.name': 'anthropic',
        'gen_ai.response.model': 'claude-sonnet-4-5',
        'gen_ai.usage.input_tokens': 12,
        'gen_ai.usage.cache_read.input_tokens': 18_000,
        'gen_ai.usage.cache_creation.input_tokens': 2_100,
      },
      { uncached: 12, cached: 18_000, written: 2_100 },
    ],
  ])('%s', async (_, attributes, expected) => {
    const rows = await booked(span('shop', 'chat gpt-4o', attributes))
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({ client: 'shop', ...expected })
  })

  test.each([
    'invoke_agent',
    'invoke_workflow',
    'execute_tool',
    'create_agent',
    'fetch_response',
    'llm_call',
  ])('an operation %s sums up others', async (operation) => {
    expect(
      await booked(span('shop', 'x', { ...CHAT, 'gen_ai.operation.name': operation })),
    ).toEqual([])
  })

  test('the event of a request counts only without its span', async () => {
    const { book, entries, spend } = await openBook()
    const { 'gen_ai.conversation.id': _, ...details } = CHAT
    const event = logRecord('shop', {
      ...details,
      'event.name': 'gen_ai.client.inference.operation.details',
      'gen_ai.input.messages': 'private',
    })
    await book(logs(event, event))
    expect((await spend()).total).toMatchObject({ requests: 1, input_tokens: 1_000 })
    await book(traces(span('shop', 'chat', CHAT)))
    expect(await entries()).toHaveLength(2)
    expect((await spend()).total).toMatchObject({ requests: 1, input_tokens: 1_000 })
  })

  test('two instrumentations of one request are one request', async () => {
    const { book, spend } = await openBook()
    const inner = span('shop', 'chat gpt-4o', CHAT)
    const outer = span('shop', 'ChatOpenAI.chat', { ...CHAT, 'traceloop.span.kind': 'task' })
    await book(traces(inner, outer))
    expect((await spend()).total).toMatchObject({ requests: 1, input_tokens: 1_000 })
  })

  test('a cost that the span tells is kept, one in units of a vendor is not', async () => {
    const [told] = await booked(span('shop', 'chat', { ...CHAT, 'operation.cost': 0.25 }))
    expect(told?.['cost']).toBe('250000000')
    const copilot = span('github-copilot', 'chat', {
      ...CHAT,
      'gen_ai.provider.name': 'github',
      'github.copilot.cost': 3,
      'gen_ai.usage.cost': 3,
    })
    const [entry] = await booked(copilot)
    // 1,000 × $2.50 and 100 × $10, per million: the vendor's list price, paid for by seats.
    expect(entry).toMatchObject({
      client: 'copilot',
      provider: 'openai',
      billing_mode: 'subscription',
      cost: '3500000',
    })
  })
})

describe('the AI SDK', () => {
  const call = { 'ai.operationId': 'ai.streamText.doStream', 'ai.model.provider': 'openai.chat' }
  test.each<[string, Given, object]>([
    [
      '4',
      { 'ai.usage.promptTokens': 1_000, 'ai.usage.completionTokens': 100 },
      { uncached: 1_000, output: 100 },
    ],
    [
      '5',
      {
        'ai.usage.inputTokens': 1_000,
        'ai.usage.outputTokens': 100,
        'ai.usage.cachedInputTokens': 400,
        'ai.usage.reasoningTokens': 30,
      },
      { uncached: 600, cached: 400, output: 100, reasoning: 30 },
    ],
    [
      '6',
      {
        'ai.usage.inputTokens': 1_000,
        'ai.usage.inputTokenDetails.noCacheTokens': 500,
        'ai.usage.inputTokenDetails.cacheReadTokens': 400,
        'ai.usage.inputTokenDetails.cacheWriteTokens': 100,
        'ai.usage.outputTokens': 100,
        'ai.usage.outputTokenDetails.reasoningTokens': 30,
      },
      { uncached: 500, cached: 400, written: 100, output: 100, reasoning: 30 },
    ],
  ])('%s: the inner span is the request, the outer one its sum', async (_, usage, expected) => {
    const attributes = { ...call, 'ai.model.id': 'gpt-4o', ...usage, ...CHAT_USAGE }
    const rows = await booked(
      span('shop', 'ai.streamText.doStream', attributes),
      span('shop', 'ai.streamText', { ...attributes, 'ai.operationId': 'ai.streamText' }),
    )
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({ provider: 'openai', model: 'gpt-4o', ...expected })
  })

  test('embeddings are input', async () => {
    const rows = await booked(
      span('shop', 'ai.embed.doEmbed', {
        'ai.operationId': 'ai.embed.doEmbed',
        'ai.model.id': 'text-embedding-3-small',
        'ai.model.provider': 'openai.embedding',
        'ai.usage.tokens': 70,
      }),
    )
    expect(rows).toMatchObject([{ uncached: 70, output: 0, unpriced_reason: null }])
  })
})

const CHAT_USAGE = { 'gen_ai.usage.input_tokens': 1_000, 'gen_ai.usage.output_tokens': 100 }

test('OpenInference: models and embeddings, not agents, chains and tools', async () => {
  const attributes = {
    'openinference.span.kind': 'LLM',
    'llm.model_name': 'gpt-4o',
    'llm.provider': 'openai',
    'llm.token_count.prompt': 1_000,
    'llm.token_count.prompt_details.cache_read': 400,
    'llm.token_count.completion': 100,
    'llm.token_count.completion_details.reasoning': 60,
    'session.id': 's9',
    'user.id': 'u9',
  }
  const rows = await booked(
    span('shop', 'ChatCompletion', attributes),
    ...['AGENT', 'CHAIN', 'TOOL'].map((kind) =>
      span('shop', kind, { ...attributes, 'openinference.span.kind': kind }),
    ),
  )
  expect(rows).toMatchObject([
    { uncached: 600, cached: 400, output: 100, reasoning: 60, session_id: 's9', user: 'u9' },
  ])
})

test('Qwen Code: its log goes before its span', async () => {
  const { book, spend } = await openBook()
  const counts = { input_token_count: 900, output_token_count: 90, model: 'qwen3-coder-plus' }
  await book(traces(span('qwen-code', 'qwen-code.llm_request', { ...counts, 'session.id': 'q1' })))
  expect((await spend()).total).toMatchObject({ requests: 1, input_tokens: 900 })
  const event = { ...counts, 'event.name': 'qwen-code.api_response', 'session.id': 'q1' }
  await book(logs(logRecord('qwen-code', event)))
  expect((await spend()).total).toMatchObject({ requests: 1, input_tokens: 900 })
  expect((await spend()).superseded_usd).toBeDefined()
})

test('Copilot: the agent span is the sum of its chats', async () => {
  const rows = await booked(
    span('copilot-chat', 'invoke_agent', { ...CHAT, 'gen_ai.operation.name': 'invoke_agent' }),
    span('copilot-chat', 'chat gpt-4o', CHAT),
  )
  expect(rows).toMatchObject([{ client: 'copilot', uncached: 1_000, session_id: 'talk-1' }])
})

test('a client with an authority of its own is not read by the conventions', async () => {
  expect(
    await booked(
      span('codex_exec', 'handle_responses', CHAT_USAGE),
      span('gemini-cli', 'llm_call', CHAT),
      span('claude-code', 'claude_code.llm_request', { ...CHAT, input_tokens: 12 }),
    ),
  ).toEqual([])
})

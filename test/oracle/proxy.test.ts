import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startProxy, type TestProxy, WRAPPED } from '../proxy/fixture.ts'
import {
  billOf,
  billOfRow,
  has_upstream,
  REAL_KEYS,
  startUpstream,
  type Upstream,
} from './upstream.ts'

let upstream: Upstream
let proxy: TestProxy

describe.skipIf(!has_upstream)('through the proxy, with the official clients', () => {
  beforeAll(async () => {
    upstream = await startUpstream()
  })
  afterAll(() => upstream.close())
  beforeEach(async () => {
    await upstream.control('reset')
    await upstream.control('leak-pattern', { pattern: 'olk_' })
    proxy = await startProxy({ base_urls: upstream.base_urls, secrets: REAL_KEYS })
  })
  afterEach(async () => {
    const { leaks, in_flight } = await upstream.ledger()
    expect(leaks).toEqual([])
    expect(in_flight).toBe(0)
    await proxy.close()
  })

  test('chat', async () => {
    const openai = new OpenAI({ baseURL: `${proxy.url}/proxy/openai/v1`, apiKey: WRAPPED })
    const answer = await openai.chat.completions.create({
      model: 'gpt-5.4',
      messages: [
        { role: 'user', content: 'SIM{"in":1200,"out":340,"cached":100,"reasoning":40} hello' },
      ],
    })
    expect(answer.usage?.prompt_tokens).toBe(1200)
    const stream = await openai.chat.completions.create({
      model: 'gpt-5.4',
      stream: true,
      messages: [
        { role: 'user', content: 'SIM{"in":1200,"out":340,"cached":100,"reasoning":40} hello' },
      ],
    })
    let text = ''
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
    expect(text.length).toBeGreaterThan(100)
    await compare()
  })
  test('messages', async () => {
    const anthropic = new Anthropic({ baseURL: `${proxy.url}/proxy/anthropic`, apiKey: WRAPPED })
    const params = {
      model: 'claude-sonnet-4-6',
      max_tokens: 1000,
      messages: [
        {
          role: 'user' as const,
          content: 'SIM{"in":1200,"out":340,"cached":100,"cw5m":5,"cw1h":10,"searches":2}',
        },
      ],
    }
    await anthropic.messages.create(params)
    const message = await anthropic.messages.stream(params).finalMessage()
    expect(message.usage.output_tokens).toBe(340)
    await compare()
  })
  test('gemini', async () => {
    const google = new GoogleGenAI({
      apiKey: WRAPPED,
      httpOptions: { baseUrl: `${proxy.url}/proxy/google` },
    })
    const params = {
      model: 'gemini-2.5-pro',
      contents: 'SIM{"in":1200,"out":340,"cached":100,"reasoning":40,"tool_use":7} x',
    }
    await google.models.generateContent(params)
    for await (const _ of await google.models.generateContentStream(params));
    await compare()
  })
})

async function compare() {
  const rows = await upstream.rows()
  const events = await proxy.waitFor(rows.length)
  expect(events.map(billOf)).toEqual(rows.map(billOfRow))
  expect(events.map(({ quality }) => quality)).toEqual(rows.map(() => 'exact'))
}

import Anthropic from '@anthropic-ai/sdk'
import { ApiError, GoogleGenAI } from '@google/genai'
import { generateText } from 'ai'
import OldAnthropic from 'anthropic-sdk-old'
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type ProxyOptions,
  startProxy,
  type TestProxy,
  WRAPPED,
  wrappedKey,
} from '../proxy/fixture.ts'
import { clientsFor } from './clients.ts'
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

/** What any client may see: never a provider's key, whole or in part, nor the wrapped one. */
const SECRETS = /olk_test_|sk-real-op|sk-ant-api03-r|AIza-real/

async function start(options: Partial<ProxyOptions> = {}): Promise<void> {
  await proxy?.close()
  proxy = await startProxy({ base_urls: upstream.base_urls, secrets: REAL_KEYS, ...options })
}

function clients(key = WRAPPED) {
  const { url } = proxy
  const mounts = {
    openai: `${url}/proxy/openai/v1`,
    anthropic: `${url}/proxy/anthropic`,
    google: `${url}/proxy/google`,
    local: `${url}/proxy/compat/local`,
  }
  return { mounts, ...clientsFor(mounts, key) }
}

/** The official clients with their own retries, each making its plainest call. */
function plainCalls(prompt: string, key = WRAPPED) {
  const { mounts, ai } = clients(key)
  const openai = new OpenAI({ baseURL: mounts.openai, apiKey: key })
  const anthropic = new Anthropic({ baseURL: mounts.anthropic, apiKey: key })
  const old = new OldAnthropic({ baseURL: mounts.anthropic, apiKey: key })
  const google = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: mounts.google } })
  const message = {
    model: 'claude-sonnet-4-6',
    max_tokens: 500,
    messages: [{ role: 'user' as const, content: prompt }],
  }
  return {
    chat: () =>
      openai.chat.completions.create({
        model: 'gpt-5.4',
        messages: [{ role: 'user', content: prompt }],
        max_completion_tokens: 500,
      }),
    responses: () =>
      openai.responses.create({ model: 'gpt-5.4', input: prompt, max_output_tokens: 500 }),
    messages: () => anthropic.messages.create(message),
    old_messages: () => old.messages.create(message),
    generate: () =>
      google.models.generateContent({
        model: 'gemini-2.5-flash',
        contents: prompt,
        config: { maxOutputTokens: 500 },
      }),
    ai: () => generateText({ model: ai.anthropic('claude-sonnet-4-6'), prompt, maxRetries: 2 }),
  }
}

async function errorOf(run: () => Promise<unknown>): Promise<Error & { status?: number }> {
  try {
    await run()
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}

describe.skipIf(!has_upstream)('trouble on the way', () => {
  beforeAll(async () => {
    upstream = await startUpstream()
  })
  afterAll(async () => {
    await proxy.close()
    upstream.close()
  })
  beforeEach(async () => {
    await upstream.control('reset')
    await upstream.control('leak-pattern', { pattern: 'olk_' })
    await start()
  })
  afterEach(async () => {
    expect((await upstream.ledger()).leaks).toEqual([])
    expect(proxy.gate.open.size).toBe(0)
    expect(proxy.logged.join('\n')).not.toMatch(SECRETS)
  })

  test('an exhausted budget raises the right error in every client, after one call', async () => {
    await start({ limit_nanos: 1n })
    const calls = plainCalls('hello')
    let seen = 0
    proxy.server.on('request', () => seen++)
    const errors = {
      chat: await errorOf(calls.chat),
      responses: await errorOf(calls.responses),
      messages: await errorOf(calls.messages),
      old_messages: await errorOf(calls.old_messages),
      generate: await errorOf(calls.generate),
      ai: await errorOf(calls.ai),
    }
    expect(seen).toBe(6)
    expect(errors.chat).toBeInstanceOf(OpenAI.RateLimitError)
    expect(errors.chat).toMatchObject({ status: 429, code: 'insufficient_quota' })
    expect(errors.responses).toBeInstanceOf(OpenAI.RateLimitError)
    expect(errors.messages).toBeInstanceOf(Anthropic.APIError)
    expect(errors.messages).toMatchObject({ status: 402, type: 'billing_error' })
    expect(errors.old_messages).toBeInstanceOf(OldAnthropic.APIError)
    expect(errors.old_messages.status).toBe(402)
    expect(errors.generate).toBeInstanceOf(ApiError)
    expect(errors.generate.status).toBe(429)
    for (const error of Object.values(errors)) {
      expect(error.message).toMatch(/team-a monthly/)
      expect(error.message).not.toMatch(SECRETS)
    }
    expect(await upstream.rows()).toEqual([])
  })

  test('a key that opens nothing raises an authentication error, after one call', async () => {
    const calls = plainCalls('hello', 'olk_test_wrong')
    let seen = 0
    proxy.server.on('request', () => seen++)
    expect(await errorOf(calls.chat)).toBeInstanceOf(OpenAI.AuthenticationError)
    expect(await errorOf(calls.messages)).toBeInstanceOf(Anthropic.AuthenticationError)
    expect(await errorOf(calls.old_messages)).toBeInstanceOf(OldAnthropic.AuthenticationError)
    expect((await errorOf(calls.generate)).status).toBe(400)
    expect(seen).toBe(4)
    expect(await upstream.rows()).toEqual([])
  })

  test('a model that the key is not open for is a permission error', async () => {
    await start({ keys: { [WRAPPED]: wrappedKey({ allowsModel: () => false }) } })
    const calls = plainCalls('hello')
    expect(await errorOf(calls.chat)).toBeInstanceOf(OpenAI.PermissionDeniedError)
    expect(await errorOf(calls.messages)).toBeInstanceOf(Anthropic.PermissionDeniedError)
    expect((await errorOf(calls.generate)).status).toBe(403)
  })

  test("a provider's refusal of the real key is told without the key, once, and is no charge", async () => {
    const secrets = {
      openai: 'sk-wrong-openai-key-123456',
      anthropic: 'sk-ant-wrong-key-1',
      google: 'AIza-wrong-key-99',
    }
    await start({ secrets })
    await upstream.control('leak-pattern', { pattern: 'olk_' })
    const calls = plainCalls('hello')
    const errors = [
      await errorOf(calls.chat),
      await errorOf(calls.messages),
      await errorOf(calls.generate),
    ]
    for (const error of errors) {
      expect(error.message).toMatch(/refused the key/)
      expect(error.message).not.toMatch(/sk-wrong|sk-ant-wrong|AIza-wrong|\*\*\*/)
    }
    expect(proxy.logged).toHaveLength(3)
    const events = await proxy.waitFor(3)
    expect(events.map((event) => Object.values(billOf(event)).every((n) => n === 0))).toEqual([
      true,
      true,
      true,
    ])
    // The simulator rightly finds these keys foreign.
    await upstream.control('reset')
  })

  for (const fault of ['429', '500', '529', '404', '400'])
    test(`status ${fault} comes through as it is, and each try has a row without a charge`, async () => {
      const { openai, anthropic, google } = clients()
      const prompt = `SIM{"fault":"${fault}"} x`
      const errors = [
        await errorOf(() =>
          openai.chat.completions.create({
            model: 'gpt-5.4',
            messages: [{ role: 'user', content: prompt }],
          }),
        ),
        await errorOf(() =>
          anthropic.messages.create({
            model: 'claude-sonnet-4-6',
            max_tokens: 10,
            messages: [{ role: 'user', content: prompt }],
          }),
        ),
        await errorOf(() =>
          google.models.generateContent({ model: 'gemini-2.5-flash', contents: prompt }),
        ),
      ]
      expect(errors.map(({ status }) => status)).toEqual([1, 2, 3].map(() => Number(fault)))
      const rows = await upstream.rows()
      const events = await proxy.waitFor(rows.length)
      expect(events.map(billOf)).toEqual(rows.map(billOfRow))
      expect(events.map(({ quality }) => quality)).toEqual(rows.map(() => 'exact'))
    })

  test('retries of a client are rows of their own', async () => {
    await upstream.control('fault', { path: 'chat', times: 1, fault: '500' })
    const openai = new OpenAI({ baseURL: clients().mounts.openai, apiKey: WRAPPED, maxRetries: 2 })
    await openai.chat.completions.create({
      model: 'gpt-5.4',
      messages: [{ role: 'user', content: 'hello' }],
    })
    const rows = await upstream.rows()
    expect(rows).toHaveLength(2)
    const events = await proxy.waitFor(2)
    expect(events.map(billOf)).toEqual(rows.map(billOfRow))
  })

  test('a reset before the answer is an unknown charge: the whole hold stays', async () => {
    await start({ limit_nanos: 10_000_000_000n })
    const calls = clients()
    const error = await errorOf(() =>
      calls.openai.chat.completions.create({
        model: 'gpt-5.4',
        max_completion_tokens: 100,
        messages: [{ role: 'user', content: 'SIM{"fault":"reset_before"} x' }],
      }),
    )
    expect(error.status).toBe(502)
    const [event] = await proxy.waitFor(1)
    expect(event).toMatchObject({ quality: 'missing' })
    expect(proxy.gate.settled[0]?.cost_nanos).toBeNull()
    expect(proxy.gate.spent()).toBe(proxy.gate.admitted[0]?.bound_nanos)
  })

  for (const fault of ['reset_mid', 'error_event'])
    test(`a stream that ends in ${fault} is an estimate near what was billed`, async () => {
      const { openai, anthropic, google } = clients()
      const prompt = `SIM{"out":200,"fault":"${fault}"} ${'word '.repeat(400)}`
      const runs = [
        async () => {
          for await (const _ of await openai.chat.completions.create({
            model: 'gpt-5.4',
            stream: true,
            messages: [{ role: 'user', content: prompt }],
          }));
        },
        () =>
          anthropic.messages
            .stream({
              model: 'claude-sonnet-4-6',
              max_tokens: 500,
              messages: [{ role: 'user', content: prompt }],
            })
            .finalMessage(),
        async () => {
          for await (const _ of await google.models.generateContentStream({
            model: 'gemini-2.5-flash',
            contents: prompt,
          }));
        },
      ]
      for (const run of runs) await run().catch(() => undefined)
      const rows = await upstream.rows()
      const events = await proxy.waitFor(3)
      for (const [i, event] of events.entries()) {
        expect(event.quality).toBe('estimated')
        const billed = rows[i] && billOfRow(rows[i])
        const ours = billOf(event)
        expect(ours['output_text']).toBeGreaterThanOrEqual(billed?.['output_text'] ?? 0)
        expect(ours['output_text']).toBeLessThan(3 * (billed?.['output_text'] ?? 0) + 10)
        expect(ours['input_uncached_text']).toBeGreaterThan(300)
      }
    })

  for (const fault of ['malformed_json', 'no_usage'])
    test(`a ${fault} answer reaches its client, and what is not known is not made up`, async () => {
      const { openai, anthropic } = clients()
      const prompt = `SIM{"out":100,"fault":"${fault}"} x`
      await openai.chat.completions
        .create({ model: 'gpt-5.4', messages: [{ role: 'user', content: prompt }] })
        .catch(() => undefined)
      await anthropic.messages
        .create({
          model: 'claude-sonnet-4-6',
          max_tokens: 500,
          messages: [{ role: 'user', content: prompt }],
        })
        .catch(() => undefined)
      const events = await proxy.waitFor(2)
      const wanted = fault === 'no_usage' ? 'estimated' : 'missing'
      expect(events.map(({ quality }) => quality)).toEqual([wanted, wanted])
    })

  test('a client that leaves: drained to the exact usage', async () => {
    const { openai } = clients()
    const stream = await openai.chat.completions.create({
      model: 'gpt-5.4',
      stream: true,
      messages: [{ role: 'user', content: 'SIM{"out":100,"chunk_ms":20} x' }],
    })
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break
    const [event] = await proxy.waitFor(1)
    // The row is booked when the last event is in; the connection ends a moment later.
    await new Promise((resolve) => setTimeout(resolve, 100))
    const [row] = await upstream.rows()
    expect(row?.outcome).toBe('completed')
    expect(event).toMatchObject({ quality: 'exact' })
    expect(event && billOf(event)).toEqual(row && billOfRow(row))
  })

  test('a client that leaves: stopped, and estimated', async () => {
    await start({ keys: { [WRAPPED]: wrappedKey({ on_abort: 'stop' }) } })
    const { openai, anthropic, google } = clients()
    const prompt = `SIM{"out":400,"chunk_ms":40,"chunks":40} ${'word '.repeat(400)}`
    const streams = [
      await openai.chat.completions.create({
        model: 'gpt-5.4',
        stream: true,
        messages: [{ role: 'user', content: prompt }],
      }),
      await anthropic.messages.create({
        model: 'claude-sonnet-4-6',
        max_tokens: 500,
        stream: true,
        messages: [{ role: 'user', content: prompt }],
      }),
    ]
    for (const stream of streams) {
      let chunks = 0
      for await (const _ of stream as AsyncIterable<unknown>) if (++chunks > 8) break
    }
    const abort = new AbortController()
    let chunks = 0
    await (async () => {
      for await (const _ of await google.models.generateContentStream({
        model: 'gemini-2.5-flash',
        contents: prompt,
        config: { abortSignal: abort.signal },
      }))
        if (++chunks > 8) abort.abort()
    })().catch(() => undefined)
    const events = await proxy.waitFor(3)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const rows = await upstream.rows()
    expect(rows.map(({ outcome }) => outcome)).toEqual(['cut', 'cut', 'cut'])
    expect(events.map(({ quality }) => quality)).toEqual(['estimated', 'estimated', 'estimated'])
    for (const event of events) expect(event.usage.output_tokens).toBeGreaterThan(0)
  })

  test('a client that gives up waiting for the first byte leaves no hold and no request behind', async () => {
    await start({
      limit_nanos: 10_000_000_000n,
      keys: { [WRAPPED]: wrappedKey({ on_abort: 'stop' }) },
    })
    const openai = new OpenAI({
      baseURL: clients().mounts.openai,
      apiKey: WRAPPED,
      timeout: 200,
      maxRetries: 0,
    })
    const error = await errorOf(() =>
      openai.chat.completions.create({
        model: 'gpt-5.4',
        max_completion_tokens: 100,
        messages: [{ role: 'user', content: 'SIM{"fault":"hang_ms","hang_ms":5000} x' }],
      }),
    )
    expect(error).toBeInstanceOf(OpenAI.APIConnectionTimeoutError)
    const [event] = await proxy.waitFor(1)
    expect(event?.quality).toBe('estimated')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await upstream.ledger()).in_flight).toBe(0)
  })

  test('a budget for k requests lets exactly k of fifty through, and is not overspent', async () => {
    const probe = await startProxy({
      base_urls: upstream.base_urls,
      secrets: REAL_KEYS,
      limit_nanos: 1_000_000_000_000n,
    })
    const ask = (at: TestProxy) =>
      new OpenAI({
        baseURL: `${at.url}/proxy/openai/v1`,
        apiKey: WRAPPED,
        maxRetries: 0,
      }).chat.completions.create({
        model: 'gpt-5.4',
        max_completion_tokens: 64,
        messages: [{ role: 'user', content: 'SIM{"in":20,"out":64} hello' }],
      })
    await ask(probe)
    const bound = probe.gate.admitted[0]?.bound_nanos ?? 0n
    await probe.close()
    await start({ limit_nanos: bound * 7n })
    await upstream.control('reset')
    await upstream.control('hold')
    let blocked = 0
    const runs = Array.from({ length: 50 }, () =>
      ask(proxy).then(
        () => 'ok',
        () => {
          blocked += 1
          return 'blocked'
        },
      ),
    )
    // One that came after the release could use what others gave back.
    for (let i = 0; i < 500 && blocked < 43; i++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect((await upstream.ledger()).held).toBe(7)
    await upstream.control('release')
    const results = await Promise.all(runs)
    expect(results.filter((one) => one === 'ok')).toHaveLength(7)
    expect(proxy.gate.spent()).toBeLessThanOrEqual(bound * 7n)
  })

  test('a key that clamps gets a shorter answer instead of none, and is told so', async () => {
    await start({
      limit_nanos: 40_000_000n,
      keys: { [WRAPPED]: wrappedKey({ on_limit: 'clamp' }) },
    })
    const response = await fetch(`${proxy.url}/proxy/openai/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${WRAPPED}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gpt-5.4',
        max_tokens: 50_000,
        messages: [{ role: 'user', content: 'SIM{"in":20,"out":50000} hello' }],
      }),
    })
    expect(response.status).toBe(200)
    expect(response.headers.get('x-outlay-clamped')).toMatch(/^output_tokens=\d+$/)
    const answer = (await response.json()) as { choices: { finish_reason: string }[] }
    expect(answer.choices[0]?.finish_reason).toBe('length')
    expect(proxy.gate.spent()).toBeLessThanOrEqual(40_000_000n)
  })

  test('a provider that takes no notice of the limit is cut at the hold, with its own kind of error', async () => {
    await start({
      limit_nanos: 600_000_000_000n,
      keys: { [WRAPPED]: wrappedKey({ on_limit: 'clamp' }) },
    })
    const { google } = clients()
    const error = await errorOf(async () => {
      for await (const _ of await google.models.generateContentStream({
        model: 'gemini-2.5-flash',
        contents: 'SIM{"in":20,"out":2000000,"chunks":50,"chunk_ms":5} hello',
      }));
    })
    expect(error).toBeInstanceOf(ApiError)
    expect(error.status).toBe(429)
    const [event] = await proxy.waitFor(1)
    expect(event?.quality).toBe('estimated')
  })
})

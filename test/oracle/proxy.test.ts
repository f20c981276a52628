import { createHash } from 'node:crypto'
import type OpenAI from 'openai'
import { toFile } from 'openai'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { startProxy, type TestProxy, WRAPPED } from '../proxy/fixture.ts'
import { type Clients, callsOf, clientsFor } from './clients.ts'
import {
  billOf,
  billOfRow,
  has_upstream,
  REAL_KEYS,
  startUpstream,
  type Upstream,
  type UpstreamRow,
} from './upstream.ts'

let upstream: Upstream
let proxy: TestProxy
let direct: Clients
let through: Clients

describe.skipIf(!has_upstream)('through the proxy, with the official clients', () => {
  beforeAll(async () => {
    upstream = await startUpstream()
    direct = clientsFor(upstream.base_urls, REAL_KEYS)
  })
  afterAll(() => upstream.close())
  beforeEach(async () => {
    await upstream.control('reset')
    await upstream.control('leak-pattern', { pattern: 'olk_' })
    proxy = await startProxy({ base_urls: upstream.base_urls, secrets: REAL_KEYS })
    through = clientsFor(mountsOf(proxy), WRAPPED)
  })
  afterEach(async () => {
    const { leaks, in_flight } = await upstream.ledger()
    expect(leaks).toEqual([])
    expect(in_flight).toBe(0)
    expect(proxy.logged).toEqual([])
    await proxy.close()
  })

  const steered = [
    ['plain', { in: 1200, out: 340, cached: 100, reasoning: 40 }],
    ['an own tier and a dated model', { in: 300, out: 20, model_reply: 'dated-snapshot' }],
    ['one byte at a time', { in: 900, out: 60, split: 'byte' }],
    ['one line at a time', { in: 900, out: 60, split: 'line' }],
    ['CRLF, cut inside the pair', { in: 900, out: 60, split: 'crlf' }],
    ['no line end at the end', { in: 900, out: 60, no_final_blank: true }],
    ['one very long line', { in: 900, out: 60, huge_line_kib: 300 }],
    ['gzip though it was not asked for', { in: 900, out: 60, encoding: 'gzip' }],
    ['deflate though it was not asked for', { in: 900, out: 60, encoding: 'deflate' }],
    ['br though it was not asked for', { in: 900, out: 60, encoding: 'br' }],
  ] as const

  for (const [what, steering] of steered) {
    test(`${what}: every call works as it does directly, and is counted to the token`, async () => {
      const prompt = `SIM${JSON.stringify(steering)} Say hello.`
      for (const { name, call } of callsOf(prompt)) {
        const last = (await upstream.rows()).at(-1)?.id ?? 0
        const wanted = await outcomeOf(() => call(direct))
        const got = await outcomeOf(() => call(through))
        expect(withoutIds(got), name).toEqual(withoutIds(wanted))
        const rows = (await upstream.rows()).filter(({ id }) => id > last)
        const [own, proxied] = [rows.slice(0, rows.length / 2), rows.slice(rows.length / 2)]
        expect(proxied.map(({ request_sha256 }) => request_sha256)).toHaveLength(own.length)
        const events = (await proxy.waitFor(proxy.events().length)).slice(-proxied.length)
        expect(events.map(billOf), name).toEqual(proxied.map(billOfRow))
        expect(
          events.map((event) => event.request_id),
          name,
        ).toEqual(proxied.map(({ request_id }) => request_id))
        expect(
          events.map((event) => event.response_id ?? null),
          name,
        ).toEqual(proxied.map((row) => (isBilled(row) ? row.response_id : null)))
      }
    })
  }

  test('bodies arrive as they were sent, and answers as they were given', async () => {
    const body =
      '{ "model":"gpt-5.4",\n "seed":12345678901234567890, "messages":[{"role":"user","content":"caf\\u00e9 SIM"}] }'
    const response = await fetch(`${proxy.url}/proxy/openai/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${WRAPPED}`, 'content-type': 'application/json' },
      body,
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    const [row] = await upstream.rows()
    expect(row?.request_sha256).toBe(sha256(body))
    expect(row?.response_sha256).toBe(sha256(bytes))
    expect(response.headers.get('set-cookie')).toBeNull()
    expect(response.headers.get('x-request-id')).toBe(row?.request_id)
    expect(row?.headers).not.toContain('cookie')
  })

  test('a background answer is one charge, told by a later look', async () => {
    const openai = through.openai
    const answer = await openai.responses.create({
      model: 'gpt-5.4',
      background: true,
      input: 'SIM{"in":500,"out":50,"delay_ms":150} x',
    })
    expect(answer.status).toBe('queued')
    expect(proxy.events()).toEqual([])
    expect((await openai.responses.retrieve(answer.id)).status).toBe('in_progress')
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect((await openai.responses.retrieve(answer.id)).status).toBe('completed')
    await openai.responses.retrieve(answer.id)
    const billed = billedEvents(await proxy.waitFor(4))
    const [row] = await upstream.rows()
    expect(billed.map(billOf)).toEqual([row && billOfRow(row)])
    expect(billed[0]).toMatchObject({ quality: 'exact', request_id: row?.request_id })
  })

  test('a batch is one charge at its own tier', async () => {
    const openai = through.openai
    const line = (id: string, input: number) =>
      JSON.stringify({
        custom_id: id,
        method: 'POST',
        url: '/v1/chat/completions',
        body: {
          model: 'gpt-5.4',
          messages: [{ role: 'user', content: `SIM{"in":${input},"out":30} hi` }],
        },
      })
    const file = await openai.files.create({
      purpose: 'batch',
      file: await toFile(Buffer.from(`${line('a', 100)}\n${line('b', 250)}\n`), 'in.jsonl'),
    })
    const batch = await openai.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    })
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect((await openai.batches.retrieve(batch.id)).status).toBe('completed')
    const [billed] = billedEvents(await proxy.waitFor(3))
    expect(billed).toMatchObject({
      service_tier: 'batch',
      model: 'gpt-5.4',
      usage: { uncached_input_tokens: 350, output_tokens: 60, requests: 2 },
    })
  })

  test('what a client does not ask for it does not get, and what it asks for it does', async () => {
    const stream = async (options: OpenAI.ChatCompletionStreamOptions | undefined) => {
      const chunks = []
      const answer = await through.openai.chat.completions.create({
        model: 'gpt-5.4',
        stream: true,
        messages: [{ role: 'user', content: 'SIM{"in":100,"out":30,"empty_first":true} x' }],
        ...(options ? { stream_options: options } : {}),
      })
      for await (const chunk of answer) chunks.push(chunk)
      return chunks
    }
    const silent = await stream(undefined)
    expect(silent.filter(({ usage }) => usage)).toEqual([])
    // A first chunk without choices, and without usage, is the server's own.
    expect(silent.filter(({ choices }) => choices.length === 0)).toHaveLength(1)
    const told = await stream({ include_usage: true })
    expect(told.at(-1)?.usage?.total_tokens).toBe(130)
    const events = await proxy.waitFor(2)
    expect(events.map(({ usage }) => usage.output_tokens)).toEqual([30, 30])
  })

  for (const style of ['always', 'every_chunk', 'last_choice', 'reject'])
    test(`a compatible server that says usage ${style} is counted`, async () => {
      const answer = await through.local.chat.completions.create({
        model: 'llama-3.3-70b',
        stream: true,
        messages: [{ role: 'user', content: `SIM{"in":100,"out":30,"usage_style":"${style}"} x` }],
      })
      let chunks = 0
      for await (const chunk of answer) chunks += chunk.choices.length
      expect(chunks).toBeGreaterThan(5)
      const rows = await upstream.rows()
      const events = await proxy.waitFor(rows.length)
      const last = events.at(-1)
      if (style !== 'reject')
        expect(last && billOf(last)).toEqual(billOfRow(rows.at(-1) as UpstreamRow))
      // Without any word on usage there is only an estimate, which says that it is one.
      else expect(last).toMatchObject({ quality: 'estimated' })
      expect(events).toHaveLength(rows.length)
    })
})

function mountsOf({ url }: TestProxy) {
  return {
    openai: `${url}/proxy/openai/v1`,
    anthropic: `${url}/proxy/anthropic`,
    google: `${url}/proxy/google`,
    local: `${url}/proxy/compat/local`,
  }
}

function sha256(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function billedEvents(events: readonly UsageEvent[]): UsageEvent[] {
  return events.filter((event) => Object.values(billOf(event)).some((amount) => amount > 0))
}

async function outcomeOf(run: () => Promise<unknown>): Promise<unknown> {
  try {
    return { value: await run() }
  } catch (error) {
    const { status, message } = error as { status?: number; message: string }
    return { error: (error as Error).constructor.name, status, message }
  }
}

/** Ids count on from call to call; everything else is the same for the same prompt. */
function withoutIds(value: unknown): unknown {
  const text = JSON.stringify(value, (name, one) =>
    /^(?:_request_id|created|created_at|completed_at|sequence_number|obfuscation)$/.test(name)
      ? undefined
      : one,
  )
  return JSON.parse(text.replaceAll(/[0-9a-f]{24,26}/g, 'ID'))
}

function isBilled({ usage }: UpstreamRow): boolean {
  return Object.values(usage).some((count) => count > 0)
}

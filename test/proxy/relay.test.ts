import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, SECRETS, sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

const headers = { authorization: `Bearer ${WRAPPED}`, 'content-type': 'application/json' }
const STREAM = { 'content-type': 'text/event-stream' }

function ask(url: string, path: string, body: unknown, signal?: AbortSignal) {
  return fetch(`${url}/proxy${path}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  })
}

const MESSAGE = { model: 'claude-sonnet-4-6', max_tokens: 100, messages: [] }
const start = (input: number) =>
  `event: message_start\ndata: ${JSON.stringify({ type: 'message_start', message: { id: 'm', model: 'claude-sonnet-4-6', usage: { input_tokens: input, output_tokens: 1 } } })}\n\n`
const text = (words: string) =>
  `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: words } })}\n\n`
const ending = (output: number) =>
  `event: message_delta\ndata: ${JSON.stringify({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: output } })}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n`

describe('the answer', () => {
  test('goes on event by event, as it comes', async () => {
    let next = () => {}
    const far_end = await startFarEnd(async (outgoing) => {
      outgoing.writeHead(200, STREAM)
      outgoing.write(start(10))
      await new Promise<void>((resolve) => {
        next = resolve
      })
      outgoing.end(text('hi') + ending(2))
    })
    const proxy = await startWith(far_end)
    const response = await ask(proxy.url, '/anthropic/v1/messages', { ...MESSAGE, stream: true })
    expect(response.headers.get('x-accel-buffering')).toBe('no')
    const reader = response.body?.getReader()
    const first = await reader?.read()
    expect(Buffer.from(first?.value ?? []).toString()).toBe(start(10))
    next()
    let rest = ''
    for (let one = await reader?.read(); one && !one.done; one = await reader?.read())
      rest += Buffer.from(one.value)
    expect(rest).toBe(text('hi') + ending(2))
    expect(proxy.events()[0]).toMatchObject({
      quality: 'exact',
      response_id: 'm',
      usage: { output_tokens: 2 },
    })
  })

  for (const kind of ['JSON', 'a stream'])
    test(`of ${kind} keeps its last bytes back until it is booked`, async () => {
      const far_end = await startFarEnd((outgoing) => {
        if (kind === 'JSON') return sendJson(outgoing, { ...CHAT_ANSWER, type: 'message' })
        outgoing.writeHead(200, STREAM)
        outgoing.write(start(10))
        setTimeout(() => outgoing.end(text('hi') + ending(2)), 50)
      })
      let book = () => {}
      const booked = new Promise<void>((resolve) => {
        book = resolve
      })
      const proxy = await startWith(far_end, {})
      const { settle } = proxy.gate
      Object.assign(proxy.gate, {
        settle: async (settlement: Parameters<typeof settle>[0]) => {
          await booked
          return settle(settlement)
        },
      })
      let is_over = false
      const answer = ask(proxy.url, '/anthropic/v1/messages', {
        ...MESSAGE,
        stream: kind !== 'JSON',
      })
        .then((response) => response.text())
        .then((body) => {
          is_over = true
          return body
        })
      await delay(200)
      expect(is_over).toBe(false)
      book()
      expect(await answer).toMatch(kind === 'JSON' ? /usage/ : /message_stop/)
      expect(proxy.events()).toHaveLength(1)
    })

  test('waits for a slow client instead of filling the memory', async () => {
    const chunk = Buffer.alloc(256 * 1024, 0x61)
    let written = 0
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/octet-stream' })
      const write = () => {
        while (written < 100) {
          written++
          if (!outgoing.write(chunk)) return void outgoing.once('drain', write)
        }
        outgoing.end()
      }
      write()
    })
    const proxy = await startWith(far_end)
    const response = await fetch(`${proxy.url}/proxy/openai/v1/files/file-1/content`, { headers })
    await delay(300)
    expect(written).toBeLessThan(80)
    expect((await response.arrayBuffer()).byteLength).toBe(100 * chunk.length)
  })

  test('that speaks of the end of a stream goes on to its own', async () => {
    const event = (value: object) => `data: ${JSON.stringify(value)}\n\n`
    const delta = { content: 'At last comes data: [DONE].' }
    let finish = () => {}
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(200, STREAM)
      outgoing.write(event({ choices: [{ delta, finish_reason: null }] }))
      finish = () =>
        outgoing.end(`${event({ choices: [], usage: CHAT_ANSWER.usage })}data: [DONE]\n\n`)
    })
    const proxy = await startWith(far_end)
    const body = { model: 'gpt-5.4', messages: [], stream: true }
    const response = await ask(proxy.url, '/openai/v1/chat/completions', body)
    const reader = response.body?.getReader()
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toContain('At last')
    expect(proxy.events()).toHaveLength(0)
    finish()
    await reader?.read()
    expect(proxy.events()[0]).toMatchObject({ quality: 'exact', usage: { output_tokens: 2 } })
  })

  test('of five megabytes in one line is read to its usage', async () => {
    const filler = 'x'.repeat(5 * 1024 * 1024)
    const response = { id: 'r', status: 'completed', model: 'gpt-5.4', output: [{ text: filler }] }
    const usage = { input_tokens: 9, output_tokens: 3, total_tokens: 12 }
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(200, STREAM)
      outgoing.end(
        `event: response.completed\ndata: ${JSON.stringify({ type: 'response.completed', response: { ...response, usage } })}\n\n`,
      )
    })
    const proxy = await startWith(far_end)
    const body = { model: 'gpt-5.4', input: 'x', stream: true }
    const got = await (await ask(proxy.url, '/openai/v1/responses', body)).text()
    expect(got.length).toBeGreaterThan(filler.length)
    expect(proxy.events()[0]).toMatchObject({
      quality: 'exact',
      usage: { uncached_input_tokens: 9, output_tokens: 3 },
    })
  })

  test.each([
    [
      'a stream that says it is JSON',
      { 'content-type': 'application/json' },
      start(7) + ending(4),
      'exact',
    ],
    [
      'gzip that is not',
      { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      '{"usage":{}}',
      'missing',
    ],
    [
      'an unknown encoding',
      { 'content-type': 'application/json', 'content-encoding': 'rot13' },
      '{}',
      'missing',
    ],
    ['half a document', { 'content-type': 'application/json' }, '{"id":"m","content":[', 'missing'],
    [
      'half a document after its usage',
      { 'content-type': 'application/json' },
      '{"usage":{"input_tokens":7,"output_tokens":4},"content":[',
      'estimated',
    ],
    ['HTML', { 'content-type': 'text/html' }, '<p>', 'estimated'],
  ])('that is %s reaches the client byte for byte', async (_, given, body, quality) => {
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(200, given)
      outgoing.end(body)
    })
    const proxy = await startWith(far_end)
    const response = await request(`${proxy.url}/proxy/anthropic/v1/messages`, {
      method: 'POST',
      headers,
      body: JSON.stringify(MESSAGE),
    })
    expect(await response.body.text()).toBe(body)
    expect(response.headers['content-encoding']).toBe(
      (given as Record<string, string>)['content-encoding'],
    )
    expect(proxy.events()[0]?.quality).toBe(quality)
  })

  test('in a decoding bomb costs no more memory than the copy may', async () => {
    const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024))
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      outgoing.end(bomb)
    })
    const proxy = await startWith(far_end)
    const response = await request(`${proxy.url}/proxy/anthropic/v1/messages`, {
      method: 'POST',
      headers,
      body: JSON.stringify(MESSAGE),
    })
    expect((await response.body.arrayBuffer()).byteLength).toBe(bomb.length)
    expect((await proxy.waitFor(1))[0]?.quality).toBe('missing')
  })
})

describe('when the far end fails', () => {
  test('nobody there: a retryable 502, no charge, and the hold is gone', async () => {
    const proxy = await startWith({ url: 'http://127.0.0.1:1' }, { limit_nanos: 10_000_000_000n })
    const answer = await ask(proxy.url, '/anthropic/v1/messages', MESSAGE)
    expect(answer.status).toBe(502)
    expect(answer.headers.get('x-should-retry')).toBeNull()
    expect(proxy.gate.released).toHaveLength(1)
    expect(proxy.gate.spent() + proxy.gate.held()).toBe(0n)
    expect(proxy.events()).toEqual([])
  })

  test('a redirect goes to the client, and is no charge', async () => {
    const location = 'https://elsewhere.test/v1/messages'
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(308, { location })
      outgoing.end()
    })
    const proxy = await startWith(far_end, { limit_nanos: 10_000_000_000n })
    const body = JSON.stringify(MESSAGE)
    const options = { method: 'POST', headers, body } as const
    const answer = await request(`${proxy.url}/proxy/anthropic/v1/messages`, options)
    expect(answer.statusCode).toBe(308)
    expect(answer.headers['location']).toBe(location)
    await answer.body.dump()
    expect(proxy.gate.spent()).toBe(0n)
    expect(proxy.gate.held()).toBe(0n)
  })

  test('an error that repeats the key is scrubbed, whole and masked', async () => {
    const far_end = await startFarEnd((outgoing) =>
      sendJson(
        outgoing,
        { error: { message: `No: ${SECRETS.openai}, sk-real-0*************cdef`, code: 'x' } },
        403,
      ),
    )
    const proxy = await startWith(far_end)
    const answer = await ask(proxy.url, '/openai/v1/chat/completions', { model: 'gpt-5.4' })
    expect(answer.status).toBe(403)
    expect(await answer.json()).toEqual({ error: { message: 'No: [key], [key]', code: 'x' } })
  })

  test('an error without a key in it comes through byte for byte', async () => {
    const body = '{ "error" : {"message":"caf\\u00e9"} }'
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(422, { 'content-type': 'application/json', 'retry-after': '7' })
      outgoing.end(body)
    })
    const proxy = await startWith(far_end)
    const answer = await ask(proxy.url, '/openai/v1/chat/completions', { model: 'gpt-5.4' })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([422, '7'])
    expect(await answer.text()).toBe(body)
  })

  test('a connection that breaks in the middle breaks for the client too', async () => {
    const far_end = await startFarEnd((outgoing) => {
      outgoing.writeHead(200, STREAM)
      outgoing.write(start(10) + text('some words that were said'))
      setTimeout(() => outgoing.destroy(), 50)
    })
    const proxy = await startWith(far_end)
    const response = await ask(proxy.url, '/anthropic/v1/messages', { ...MESSAGE, stream: true })
    await expect(response.text()).rejects.toThrow()
    const [event] = await proxy.waitFor(1)
    expect(event).toMatchObject({
      quality: 'estimated',
      usage: { uncached_input_tokens: 10, output_tokens: 9 },
    })
  })
})

describe('when the client leaves', () => {
  for (const on_abort of ['stop', 'drain'] as const)
    test(`before the answer, with ${on_abort}: nothing is left open`, async () => {
      let answer = () => {}
      const far_end = await startFarEnd((outgoing) => {
        answer = () => sendJson(outgoing, { ...CHAT_ANSWER, type: 'message' })
      })
      const proxy = await startWith(far_end, {
        keys: { [WRAPPED]: wrappedKey({ on_abort }) },
        limit_nanos: 10_000_000_000n,
      })
      const abort = new AbortController()
      const gone = ask(
        proxy.url,
        '/openai/v1/chat/completions',
        { model: 'gpt-5.4', max_tokens: 5 },
        abort.signal,
      )
      while (far_end.seen.length === 0) await delay(5)
      abort.abort()
      await expect(gone).rejects.toThrow()
      await delay(50)
      answer()
      const [event] = await proxy.waitFor(1)
      expect(event?.quality).toBe(on_abort === 'stop' ? 'estimated' : 'exact')
      expect(proxy.gate.open.size).toBe(0)
      await delay(50)
      expect(await proxy.connections()).toBe(0)
      if (on_abort === 'stop') expect(await far_end.connections()).toBe(0)
    })

  test('before the proxy was opened: nothing waits for it', async () => {
    const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
    const proxy = await startWith(far_end)
    const [handle] = proxy.server.listeners('request')
    let handled = () => {}
    const was_handled = new Promise<void>((resolve) => {
      handled = resolve
    })
    proxy.server.removeAllListeners('request')
    proxy.server.once('request', (incoming, outgoing) =>
      incoming.once('close', () => {
        handle?.call(proxy.server, incoming, outgoing)
        handled()
      }),
    )
    const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1')
    socket.write(
      `POST /proxy/openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${WRAPPED}\r\nContent-Length: 1000\r\n\r\n{"model"`,
    )
    await delay(50)
    socket.destroy()
    await was_handled
    await proxy.close()
    expect(far_end.seen).toEqual([])
  })

  test('while its body is on the way: nothing is forwarded or held', async () => {
    const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
    const proxy = await startWith(far_end)
    const { port } = new URL(proxy.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(
      `POST /proxy/openai/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${WRAPPED}\r\nContent-Length: 1000\r\n\r\n{"model"`,
    )
    await delay(50)
    socket.destroy()
    await delay(50)
    expect(far_end.seen).toEqual([])
    expect(proxy.gate.admitted).toEqual([])
    expect(proxy.logged).toEqual([])
  })
})

test('five hundred requests leave no listener, no socket and no hold behind', async () => {
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
  const proxy = await startWith(far_end, { limit_nanos: 1_000_000_000_000n })
  const warnings: Error[] = []
  const note = (warning: Error) => warnings.push(warning)
  process.on('warning', note)
  const agent = new Agent({ connections: 50 })
  for (let round = 0; round < 10; round++)
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const answer = await request(`${proxy.url}/proxy/openai/v1/chat/completions`, {
          method: 'POST',
          headers,
          body: JSON.stringify({ model: 'gpt-5.4', max_tokens: 5 }),
          dispatcher: agent,
        })
        await answer.body.dump()
      }),
    )
  await agent.close()
  await delay(50)
  process.off('warning', note)
  expect(warnings).toEqual([])
  expect(proxy.events()).toHaveLength(500)
  expect(proxy.gate.open.size).toBe(0)
  expect(await proxy.connections()).toBe(0)
})

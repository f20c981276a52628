import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { BODY_BYTES_MAX } from '../../src/otlp/limits.ts'
import type { Refused } from '../../src/otlp/route.ts'
import { JSON_TYPE, NOW, PROTOBUF, type Sent, send, startReceiver, statusOf } from './fixture.ts'
import { attribute, encode, logsBody } from './wire.ts'

const BODY = logsBody([{ 6: [attribute('event.name', 'codex.sse_event')] }])
const JSON_BODY = JSON.stringify({
  resourceLogs: [
    {
      scopeLogs: [
        {
          logRecords: [
            { attributes: [{ key: 'event.name', value: { stringValue: 'codex.sse_event' } }] },
          ],
        },
      ],
    },
  ],
})

describe('a batch is taken', () => {
  test.each(['logs', 'metrics', 'traces'])('protobuf %s: 200 and no byte', async (signal) => {
    const { url, booked } = await startReceiver()
    const answer = await send(`${url}/v1/${signal}`, { headers: PROTOBUF, body: encode({}) })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('application/x-protobuf')
    expect(answer.body).toHaveLength(0)
    expect(booked).toEqual([])
  })

  test.each(['logs', 'metrics', 'traces'])('JSON %s: 200 and {}', async (signal) => {
    const { url } = await startReceiver()
    for (const body of ['{}', '']) {
      const answer = await send(`${url}/v1/${signal}`, { headers: JSON_TYPE, body })
      expect(answer.status).toBe(200)
      expect(answer.headers['content-type']).toBe('application/json')
      expect(answer.body.toString()).toBe('{}')
    }
  })

  test.each([
    ['protobuf', PROTOBUF, BODY],
    ['protobuf, spelled otherwise', { 'content-type': 'Application/X-Protobuf; v=1' }, BODY],
    ['JSON', JSON_TYPE, JSON_BODY],
    ['JSON with a charset', { 'content-type': 'application/json; charset=utf-8' }, JSON_BODY],
    ['identity', { ...PROTOBUF, 'content-encoding': 'identity' }, BODY],
    ['gzip', { ...PROTOBUF, 'content-encoding': 'gzip' }, gzipSync(BODY)],
    ['GZIP', { ...JSON_TYPE, 'content-encoding': 'GZIP' }, gzipSync(JSON_BODY)],
    ['deflate', { ...PROTOBUF, 'content-encoding': 'deflate' }, deflateSync(BODY)],
    ['zstd', { ...PROTOBUF, 'content-encoding': 'zstd' }, zstdCompressSync(BODY)],
  ])('%s, with a length and in chunks', async (_, headers, body) => {
    const { url, booked } = await startReceiver()
    for (const is_chunked of [false, true]) {
      const answer = await send(`${url}/v1/logs`, { headers, body, is_chunked })
      expect(answer.status).toBe(200)
    }
    const batch = {
      signal: 'logs',
      records: [{ attributes: { 'event.name': 'codex.sse_event' } }],
    }
    expect(booked).toMatchObject([batch, batch].map((one) => ({ batch: one })))
    expect(booked[0]?.context).toEqual({ received_at: NOW, token: null })
  })

  test('it is answered only when it is booked', async () => {
    const order: string[] = []
    const { url } = await startReceiver({
      async book() {
        await new Promise((resolve) => setTimeout(resolve, 50))
        order.push('booked')
        return { rejected: 0, message: '' }
      },
    })
    await send(`${url}/v1/logs`, { headers: PROTOBUF, body: BODY })
    order.push('answered')
    expect(order).toEqual(['booked', 'answered'])
  })

  test('many requests over one connection', async () => {
    const { url, booked } = await startReceiver()
    for (let index = 0; index < 20; index++) {
      const response = await fetch(`${url}/v1/logs`, {
        method: 'POST',
        headers: PROTOBUF,
        body: new Uint8Array(BODY),
      })
      expect(response.status).toBe(200)
      expect(response.headers.get('connection')).toBe('keep-alive')
      await response.arrayBuffer()
    }
    expect(booked).toHaveLength(20)
  })
})

describe('partial success', () => {
  const book = async () => ({ rejected: 2, message: 'x' })

  test('in protobuf', async () => {
    const { url } = await startReceiver({ book })
    const answer = await send(`${url}/v1/logs`, { headers: PROTOBUF, body: BODY })
    expect(answer.status).toBe(200)
    expect(answer.body.toString('hex')).toBe('0a050802120178')
  })

  test.each([
    ['logs', JSON_BODY, 'rejectedLogRecords'],
    ['traces', '{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}', 'rejectedSpans'],
    [
      'metrics',
      '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{}]}}]}]}]}',
      'rejectedDataPoints',
    ],
  ])('in JSON: %s', async (signal, body, field) => {
    const { url } = await startReceiver({ book })
    const answer = await send(`${url}/v1/${signal}`, { headers: JSON_TYPE, body })
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body.toString())).toEqual({
      partialSuccess: { [field]: '2', errorMessage: 'x' },
    })
  })

  test('a warning rejects nothing', async () => {
    const { url } = await startReceiver({ book: async () => ({ rejected: 0, message: 'late' }) })
    const answer = await send(`${url}/v1/logs`, { headers: PROTOBUF, body: BODY })
    expect(answer.body.toString('hex')).toBe('0a0612046c617465')
  })

  test('an unreadable record is counted and the others are booked', async () => {
    const { url, booked } = await startReceiver()
    const good = { timeUnixNano: '5', body: { stringValue: 'good' } }
    const records = [{ timeUnixNano: 'noon' }, 'a text', good, { observedTimeUnixNano: -1 }, null]
    const body = JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: records }] }] })
    const answer = await send(`${url}/v1/logs`, { headers: JSON_TYPE, body })
    expect(answer.status).toBe(200)
    const { partialSuccess } = JSON.parse(answer.body.toString())
    expect(partialSuccess).toMatchObject({ rejectedLogRecords: '3' })
    expect(partialSuccess.errorMessage).not.toContain('noon')
    expect(booked).toMatchObject([{ batch: { records: [{ body: 'good', time_ns: 5n }] } }])
  })
})

describe('refusals are google.rpc.Status in the encoding of the request', () => {
  const too_large = Buffer.alloc(BODY_BYTES_MAX + 1)
  const bomb = gzipSync(Buffer.alloc(2 ** 28))
  const type = (name: string) => ({ 'content-type': name })
  const coded = (name: string) => ({ ...PROTOBUF, 'content-encoding': name })

  const requests: readonly [string, number, number, Sent][] = [
    ['truncated protobuf', 400, 3, { headers: PROTOBUF, body: BODY.subarray(0, -1) }],
    ['no protobuf', 400, 3, { headers: PROTOBUF, body: 'hello' }],
    ['no JSON', 400, 3, { headers: JSON_TYPE, body: '{"resourceLogs":[' }],
    ['a JSON list', 400, 3, { headers: JSON_TYPE, body: '[]' }],
    ['resourceLogs is a text', 400, 3, { headers: JSON_TYPE, body: '{"resourceLogs":"x"}' }],
    ['a scope that is none', 400, 3, { headers: JSON_TYPE, body: '{"resourceLogs":[7]}' }],
    ['gzip that is none', 400, 3, { headers: coded('gzip'), body: BODY }],
    ['truncated gzip', 400, 3, { headers: coded('gzip'), body: gzipSync(BODY).subarray(0, -9) }],
    ['zstd that is none', 400, 3, { headers: coded('zstd'), body: BODY }],
    ['GET', 405, 12, { method: 'GET' }],
    ['PUT', 405, 12, { method: 'PUT', headers: PROTOBUF, body: BODY }],
    ['OPTIONS', 405, 12, { method: 'OPTIONS' }],
    ['a length over the limit', 413, 3, { headers: PROTOBUF, body: too_large }],
    ['chunks over the limit', 413, 3, { headers: PROTOBUF, body: too_large, is_chunked: true }],
    ['a gzip bomb', 413, 3, { headers: coded('gzip'), body: bomb }],
    ['a JSON gzip bomb', 413, 3, { headers: { ...JSON_TYPE, ...coded('gzip') }, body: bomb }],
    ['text', 415, 3, { headers: type('text/plain'), body: 'x' }],
    ['no content type', 415, 3, { body: 'x' }],
    ['brotli', 415, 3, { headers: coded('br'), body: BODY }],
    ['gzip twice', 415, 3, { headers: coded('gzip, gzip'), body: BODY }],
  ]
  test.each(requests)('%s: %i', async (_, status, code, given) => {
    const { url, booked } = await startReceiver()
    const answer = await send(`${url}/v1/logs`, given)
    expect(answer.status).toBe(status)
    const sent = given.headers?.['content-type'] ?? ''
    expect(answer.headers['content-type']).toBe(
      /x-protobuf|json/.test(sent) ? sent : 'application/json',
    )
    expect(statusOf(answer).code).toBe(code)
    expect(statusOf(answer).message).toMatch(/^\p{Lu}.*\.$/u)
    expect(answer.headers['retry-after']).toBeUndefined()
    if (status === 405) expect(answer.headers.allow).toBe('POST')
    expect(booked).toEqual([])
  })

  test('what the body says is in no answer', async () => {
    const { url } = await startReceiver()
    const answer = await send(`${url}/v1/logs`, { headers: JSON_TYPE, body: '{"secret prompt' })
    expect(statusOf(answer).message).toBe('The body is not valid JSON.')
  })

  test('a token is asked for, and the answer says which', async () => {
    const { url } = await startReceiver({
      authorize: async (header) =>
        header === 'Bearer good'
          ? { id: 'tok_1', name: 'ci' }
          : { status: 401, message: 'A token.', headers: { 'WWW-Authenticate': 'Bearer' } },
    })
    const refused = await send(`${url}/v1/logs`, { headers: PROTOBUF, body: BODY })
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toBe('Bearer')
    expect(statusOf(refused)).toEqual({ code: 16, message: 'A token.' })
    const headers = { ...PROTOBUF, authorization: 'Bearer good' }
    expect((await send(`${url}/v1/logs`, { headers, body: BODY })).status).toBe(200)
  })

  test('a store that is busy is worth another try, a defect is not', async () => {
    const failures = [
      Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' }),
      Object.assign(new Error('disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 }),
      new TypeError('x is not a function'),
    ]
    const { url } = await startReceiver({
      async book() {
        throw failures.shift()
      },
    })
    for (const status of [503, 503, 500]) {
      const answer = await send(`${url}/v1/logs`, { headers: PROTOBUF, body: BODY })
      expect(answer.status).toBe(status)
      expect(answer.headers['retry-after']).toBe(status === 503 ? '1' : undefined)
      expect(statusOf(answer).message).not.toContain('function')
    }
  })
})

test('telemetry at a wrong path is told where it belongs, and reported', async () => {
  const refused: Refused[] = []
  const { url } = await startReceiver({ onRefused: (one) => refused.push(one) })
  const headers = { ...PROTOBUF, 'user-agent': 'OTel-OTLP-Exporter-Rust/0.31.0' }
  for (const path of ['/', '/v1/logs/v1/logs', '/v1/traces/', '/v1/profiles']) {
    const answer = await send(`${url}${path}`, { headers, body: BODY })
    expect(answer.status).toBe(404)
    expect(answer.headers['content-type']).toBe('application/x-protobuf')
    expect(statusOf(answer).message).toContain('/v1/logs')
  }
  expect(refused).toHaveLength(4)
  expect(refused[0]).toEqual({
    signal: 'misdirected',
    status: 404,
    user_agent: 'OTel-OTLP-Exporter-Rust/0.31.0',
  })
  const other = await send(`${url}/v1/chat/completions`, { headers: JSON_TYPE, body: '{}' })
  expect(other.status).toBe(404)
  expect(refused).toHaveLength(4)
})

import { SeverityNumber } from '@opentelemetry/api'
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HOUR_MS, MINUTE_MS } from '../../src/clock.ts'
import type { BookAll } from '../../src/otlp/inbox.ts'
import { ENCODINGS, openLedgerReceiver } from './ledger-receiver.ts'
import { NOW, ns } from './telemetry.ts'
import type { Json } from './transcode.ts'

/**
 * Acceptance of the receiver over a socket into the ledger, what needs no captured telemetry: the numbers
 * are the contract's. 1 to 6 are in `test/oracle/otlp-acceptance.test.ts`, 8 and 9 in `route.test.ts`,
 * `hostile.test.ts` and `exporters.test.ts`.
 */

const MODEL = 'claude-sonnet-4-5'

function pairs(values: Readonly<Record<string, string | number>>): Json[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : { intValue: value },
  }))
}

const resource = { attributes: pairs({ 'service.name': 'claude-code' }) }

type Point = {
  readonly value: number | string
  readonly start: number
  readonly at: number
  readonly flags?: number
}

function tokens(temporality: number, points: readonly Point[], type = 'input'): Json {
  const dataPoints = points.map(({ value, start, at, flags = 0 }) => ({
    attributes: pairs({ 'session.id': 's1', model: MODEL, type }),
    startTimeUnixNano: String(ns(start)),
    timeUnixNano: String(ns(at)),
    asDouble: value,
    flags,
  }))
  const sum = { aggregationTemporality: temporality, isMonotonic: true, dataPoints }
  const metrics = [{ name: 'claude_code.token.usage', unit: 'tokens', sum }]
  return { resourceMetrics: [{ resource, scopeMetrics: [{ metrics }] }] }
}

const DELTA = 1
const CUMULATIVE = 2

describe.each(ENCODINGS)('in %s', (encoding) => {
  test('7: two processes of one session that count on in turns: the sum of their highest values', async () => {
    const [first, second] = [NOW - 2 * HOUR_MS, NOW - HOUR_MS]
    const points = [
      { value: 100, start: first, at: NOW - 5 * MINUTE_MS },
      { value: 30, start: second, at: NOW - 4 * MINUTE_MS },
      { value: 150, start: first, at: NOW - 3 * MINUTE_MS },
      { value: 70, start: second, at: NOW - 2 * MINUTE_MS },
    ]
    const requests = points.map((point) => tokens(CUMULATIVE, [point]))
    const shuffled = fc.shuffledSubarray([...requests, ...requests], { minLength: 8 })
    await fc.assert(
      fc.asyncProperty(shuffled, async (order) => {
        const { post, spend, clock } = await openLedgerReceiver()
        for (const one of order) await post('metrics', encoding, one)
        clock.set(NOW + HOUR_MS)
        expect((await spend()).total.input_tokens).toBe(220)
      }),
      { numRuns: 8 },
    )
  })

  test('10: after one 503 the real exporter sends again, and each row is booked once', async () => {
    let tries = 0
    const failOnce = (bookAll: BookAll): BookAll => {
      return async (arrivals) => {
        const booked = tries === 0 ? undefined : await bookAll(arrivals)
        tries += 1
        if (!booked) throw Object.assign(new Error('locked'), { code: 'SQLITE_BUSY' })
        return booked
      }
    }
    const { url, entries, spend } = await openLedgerReceiver(failOnce)
    const Exporter = encoding === 'JSON' ? JsonLogs : ProtoLogs
    const exporter = new Exporter({ url: `${url}/v1/logs` })
    const provider = new LoggerProvider({
      resource: resourceFromAttributes({ 'service.name': 'claude-code' }),
      processors: [new BatchLogRecordProcessor({ exporter })],
    })
    const logger = provider.getLogger('com.anthropic.claude_code.events')
    for (let i = 0; i < 3; i++)
      logger.emit({
        timestamp: NOW - MINUTE_MS,
        severityNumber: SeverityNumber.INFO,
        body: 'claude_code.api_request',
        attributes: {
          'event.name': 'api_request',
          'session.id': 's1',
          request_id: `req_${i}`,
          model: MODEL,
          input_tokens: 100,
          output_tokens: 10,
          cost_usd: 1,
        },
      })
    await provider.shutdown()
    expect(tries).toBe(2)
    expect(await entries()).toHaveLength(3)
    expect((await spend()).total).toMatchObject({ requests: 3, cost_usd: '3.000000000' })
  })

  test.each<[string, number, Point['value'], number, number]>([
    ['no value recorded', DELTA, 5, 1, 0],
    ['NaN', DELTA, 'NaN', 0, 1],
    ['infinity', DELTA, '-Infinity', 0, 1],
    ['temporality 0', 0, 5, 0, 1],
    ['a negative delta', DELTA, -5, 0, 1],
  ])(
    '11: a point with %s is counted as the contract says, and its neighbours are booked',
    async (_, temporality, value, flags, rejected) => {
      const { post, spend, clock } = await openLedgerReceiver()
      const at = { start: NOW - 2 * MINUTE_MS, at: NOW - MINUTE_MS }
      const bad = tokens(temporality, [{ value, flags, ...at }])
      const good = tokens(DELTA, [{ value: 7, ...at }], 'output')
      const both = { resourceMetrics: [good, bad].flatMap((one) => one['resourceMetrics']) }
      for (let i = 0; i < 2; i++) {
        const { status, body } = await post('metrics', encoding, both)
        expect(status).toBe(200)
        expect(rejectedOf(body, encoding)).toBe(rejected)
      }
      clock.set(NOW + HOUR_MS)
      expect((await spend()).total).toMatchObject({ input_tokens: 0, output_tokens: 7 })
    },
  )

  test.each([
    ['none', 0, {}, NOW],
    ['two hours ahead', NOW + 2 * HOUR_MS, {}, NOW],
    ['1970', 1_000, {}, NOW],
    [
      'none but event.timestamp',
      0,
      { 'event.timestamp': '2026-11-20T10:00:00Z' },
      NOW - 2 * HOUR_MS,
    ],
    ['an hour ago', NOW - HOUR_MS, {}, NOW - HOUR_MS],
  ])(
    '12: a record whose time is %s has the effective time of the rule',
    async (_, time, more, expected) => {
      const { post, entries } = await openLedgerReceiver()
      const usage = { model: MODEL, input_tokens: 1, output_tokens: 1, request_id: 'req_1' }
      const attributes = pairs({ 'event.name': 'api_request', ...usage, ...more })
      const record = { timeUnixNano: String(ns(time)), attributes }
      const json = { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [record] }] }] }
      for (let i = 0; i < 2; i++) await post('logs', encoding, json)
      expect(await entries()).toMatchObject([{ occurred_at: expected }])
    },
  )
})

/** What a partial success says was rejected: the first field of the message in the first field. */
function rejectedOf(body: Buffer, encoding: (typeof ENCODINGS)[number]): number {
  if (encoding === 'JSON')
    return Number(JSON.parse(body.toString()).partialSuccess?.rejectedDataPoints ?? 0)
  return body[0] === 0x0a && body[2] === 0x08 ? Number(body[3]) : 0
}

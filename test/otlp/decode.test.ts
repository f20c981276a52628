import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode } from '../../src/otlp/decode.ts'
import type { Signal } from '../../src/otlp/decode-batch.ts'
import { TEXT_LENGTH_MAX } from '../../src/otlp/limits.ts'
import type { Attributes } from '../../src/otlp/signal.ts'
import { toProtobuf } from './descriptors.ts'
import { attribute, logsBody } from './wire.ts'

const instant = fc.bigInt(0n, 2n ** 64n - 1n).map(String)
const text = fc.string({ unit: 'grapheme', maxLength: 60 })
const hexId = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((id) => Buffer.from(id).toString('hex'))
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.record({ stringValue: text }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String) }),
    fc.record({ intValue: fc.integer() }),
    fc.record({ doubleValue: fc.double({ noNaN: true, noDefaultInfinity: true }) }),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('value'), { maxLength: 3 }) }) }),
    fc.record({ bytesValue: fc.constant('AQID') }),
    fc.record({}),
  ),
}))
const attributes = fc.array(fc.record({ key: text, value }), { maxLength: 6 })
const point = fc.record({
  attributes,
  startTimeUnixNano: instant,
  timeUnixNano: instant,
  flags: fc.nat(3),
})
const double = fc.double({ noNaN: true, noDefaultInfinity: true })
const numbers = fc.array(
  fc
    .tuple(
      point,
      fc.oneof(
        fc.record({ asInt: fc.integer().map(String) }),
        fc.record({ asDouble: double }),
        fc.record({}),
      ),
    )
    .map(([one, number]) => ({ ...one, ...number })),
  { maxLength: 3 },
)
const sums = fc.array(
  fc
    .tuple(point, fc.record({ sum: double, count: fc.nat().map(String) }))
    .map(([one, sum]) => ({ ...one, ...sum })),
  { maxLength: 3 },
)
const aggregationTemporality = fc.nat(2)

const ITEMS: Readonly<Record<Signal, fc.Arbitrary<unknown>>> = {
  logs: fc.record({
    timeUnixNano: instant,
    observedTimeUnixNano: instant,
    severityText: text,
    body: value,
    attributes,
    traceId: hexId(16),
    spanId: hexId(8),
    eventName: text,
  }),
  traces: fc.record({
    traceId: hexId(16),
    spanId: hexId(8),
    parentSpanId: fc.oneof(hexId(8), fc.constantFrom('', '0000000000000000')),
    name: text,
    startTimeUnixNano: instant,
    endTimeUnixNano: instant,
    attributes,
    events: fc.array(fc.record({ name: text, attributes }), { maxLength: 2 }),
  }),
  metrics: fc
    .tuple(
      fc.record({ name: text, description: text, unit: text }),
      fc.oneof(
        fc.record({ gauge: fc.record({ dataPoints: numbers }) }),
        fc.record({
          sum: fc.record({
            dataPoints: numbers,
            aggregationTemporality,
            isMonotonic: fc.boolean(),
          }),
        }),
        fc.record({ histogram: fc.record({ dataPoints: sums, aggregationTemporality }) }),
        fc.record({
          exponentialHistogram: fc.record({ dataPoints: sums, aggregationTemporality }),
        }),
        fc.record({ summary: fc.record({ dataPoints: sums }) }),
      ),
    )
    .map(([named, data]) => ({ ...named, ...data })),
}

const NAMES = {
  logs: ['resourceLogs', 'scopeLogs', 'logRecords'],
  traces: ['resourceSpans', 'scopeSpans', 'spans'],
  metrics: ['resourceMetrics', 'scopeMetrics', 'metrics'],
} as const

test.each(['logs', 'traces', 'metrics'] as const)(
  '%s are the same in JSON and in protobuf by an encoder that is not ours',
  (signal) => {
    const [groups, scopes, items] = NAMES[signal]
    const scope = fc.record({ name: text, version: text })
    const part = fc.record({ scope, [items]: fc.array(ITEMS[signal], { maxLength: 4 }) })
    const group = fc.record({
      resource: fc.record({ attributes }),
      [scopes]: fc.array(part, { maxLength: 2 }),
    })
    fc.assert(
      fc.property(fc.record({ [groups]: fc.array(group, { maxLength: 2 }) }), (tree) => {
        const json = decode(signal, 'json', Buffer.from(JSON.stringify(tree)))
        expect(decode(signal, 'protobuf', toProtobuf(signal, tree))).toEqual(json)
        expect(json.rejected).toBe(0)
      }),
      { numRuns: 500 },
    )
  },
)

function attributesOf(list: unknown): Attributes {
  const tree = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ attributes: list }] }] }] }
  const { batch } = decode('logs', 'json', Buffer.from(JSON.stringify(tree)))
  return (batch.signal === 'logs' && batch.records[0]?.attributes) || {}
}

describe('values', () => {
  test.each([
    [{ intValue: '123' }, 123],
    [{ intValue: 123 }, 123],
    [{ intValue: '9007199254740993' }, 9007199254740993n],
    [{ intValue: '-9223372036854775808' }, -9223372036854775808n],
    [{ intValue: 'x' }, 'x'],
    [{ doubleValue: 0.25 }, 0.25],
    [{ doubleValue: 'NaN' }, Number.NaN],
    [{ doubleValue: '-Infinity' }, Number.NEGATIVE_INFINITY],
    [{ stringValue: '12345' }, '12345'],
    [{ stringValue: '' }, ''],
    [{ boolValue: false }, false],
    [{ arrayValue: { values: [{ stringValue: 'a' }, {}, { intValue: 2 }] } }, ['a', 2]],
    [{ arrayValue: {} }, []],
    [{}, undefined],
    [null, undefined],
    [{ stringValue: null }, undefined],
    [{ string_value: 'snake' }, undefined],
    [{ bytesValue: 'AQID' }, undefined],
    [{ kvlistValue: { values: [] } }, undefined],
  ])('%o is %o', (given, expected) => {
    expect(attributesOf([{ key: 'k', value: given }])['k']).toEqual(expected)
  })

  test('a text is kept up to its limit in both encodings, whatever its alphabet', () => {
    for (const letter of ['a', 'ż', '€', '😀']) {
      const long = letter.repeat(3_000)
      const kept = attributesOf([{ key: 'k', value: { stringValue: long } }])['k']
      expect(kept).toBe(long.slice(0, TEXT_LENGTH_MAX))
      const { batch } = decode('logs', 'protobuf', logsBody([{ 6: attribute('k', long) }]))
      expect(batch).toMatchObject({ records: [{ attributes: { k: kept } }] })
    }
  })
})

test('snake_case is no data, unknown fields are skipped, names of enums are understood', () => {
  const logs = { resource_logs: [{}], resourceLogs: [{ scope_logs: [{}], unknown: { x: [1] } }] }
  expect(decode('logs', 'json', Buffer.from(JSON.stringify(logs)))).toEqual({
    batch: { signal: 'logs', records: [] },
    rejected: 0,
  })
  const sum = {
    aggregationTemporality: 'AGGREGATION_TEMPORALITY_DELTA',
    dataPoints: [{ asInt: 1 }],
  }
  const metrics = { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', sum }] }] }] }
  expect(decode('metrics', 'json', Buffer.from(JSON.stringify(metrics))).batch).toMatchObject({
    points: [{ metric: 'm', temporality: 'delta', value: 1 }],
  })
})

test('a point says that it has no value, or none is sent', () => {
  const dataPoints = [{ flags: 1 }, { asDouble: 'NaN' }, {}, { asInt: 'abc' }, { timeUnixNano: -1 }]
  const metrics = { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ sum: { dataPoints } }] }] }] }
  const { batch, rejected } = decode('metrics', 'json', Buffer.from(JSON.stringify(metrics)))
  expect(rejected).toBe(2)
  expect(batch).toMatchObject({
    points: [
      { has_no_value: true, value: undefined },
      { has_no_value: false, value: Number.NaN },
      { has_no_value: false, value: undefined },
    ],
  })
})

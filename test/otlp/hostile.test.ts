import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, type Encoding } from '../../src/otlp/decode.ts'
import { BadPayload, SIGNALS, type Signal, TooManyItems } from '../../src/otlp/decode-batch.ts'
import { JsonReader } from '../../src/otlp/json-reader.ts'
import { BODY_BYTES_MAX, ITEMS_MAX } from '../../src/otlp/limits.ts'
import { SIEVES, type Sieve } from '../../src/otlp/sieve.ts'
import { attribute, encode, logsBody } from './wire.ts'

const ENCODINGS: readonly Encoding[] = ['protobuf', 'json']

/** Decodes, or says with one of the two known errors why not; the same with what is ignored left unread. */
function attempt(signal: Signal, encoding: Encoding, body: Buffer): string {
  const result = attemptWith(undefined, signal, encoding, body)
  expect(attemptWith(SIEVES[signal], signal, encoding, body)).toBe(result)
  return result
}

function attemptWith(
  sieve: Sieve | undefined,
  signal: Signal,
  encoding: Encoding,
  body: Buffer,
): string {
  try {
    decode(signal, encoding, body, sieve)
    return 'taken'
  } catch (error) {
    if (error instanceof BadPayload) return 'bad'
    if (error instanceof TooManyItems) return 'too many'
    throw error
  }
}

function nestedLists(depth: number): Buffer {
  let value: Buffer = encode({ 1: 'core' })
  for (let level = 0; level < depth; level++) value = encode({ 5: { 1: value } })
  return value
}

function nestedMaps(depth: number): Buffer {
  let value: Buffer = encode({ 1: 'core' })
  for (let level = 0; level < depth; level++) value = encode({ 6: { 1: { 1: 'k', 2: value } } })
  return value
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('protobuf', () => {
  test.each([
    ['lists in lists', logsBody([{ 5: nestedLists(200) }])],
    ['maps in maps', logsBody([{ 6: { 1: 'k', 2: nestedMaps(200) } }])],
    ['a list too deep by one', logsBody([{ 5: nestedLists(33) }])],
    ['a length of 4 GiB', hex('0a ff ff ff ff 0f')],
    ['a length beyond the body', hex('0a 7f 00')],
    ['a length beyond its message', hex('0a 04 12 7f 00 00 00 00 00 00')],
    ['a varint that never ends', hex('10 ff ff ff ff ff ff ff ff ff ff ff ff')],
    ['a tag that never ends', hex('ff ff ff ff ff ff ff ff ff ff ff')],
    ['field number 0', hex('02 00')],
    ['an end of a group that never began', hex('0c')],
    ['a group that never ends', hex('0b')],
    ['a group in a group, and so on', Buffer.alloc(1_000_000, 0x0b)],
    ['wire type 6', hex('0e')],
    ['wire type 7', hex('0f')],
    ['a fixed64 cut off', hex('0a 06 12 04 12 02 09 00')],
    ['an instant beyond its record', hex('0a 0e 12 0c 12 03 09 00 00 12 00 00 00 00 00 00')],
  ])('%s: bad', (_, body) => {
    expect(attempt('logs', 'protobuf', body)).toBe('bad')
  })

  test('a list as deep as is allowed is read', () => {
    expect(attempt('logs', 'protobuf', logsBody([{ 5: nestedLists(32) }]))).toBe('taken')
  })

  test('unknown fields are skipped, whole groups too', () => {
    const record = Buffer.concat([
      hex('9b06 08 05 9c06'),
      hex('f801 05 fa01 02 0000 fd01 00000000 f901 0000000000000000'),
      encode({ 5: { 1: 'kept' } }),
    ])
    const { batch } = decode('logs', 'protobuf', encode({ 1: { 2: { 2: record } } }))
    expect(batch).toMatchObject({ records: [{ body: 'kept' }] })
  })

  test('a varint of a negative number is a negative number', () => {
    const body = logsBody([{ 6: attribute('n', { varint: '-5' }, 3) }])
    expect(decode('logs', 'protobuf', body).batch).toMatchObject({
      records: [{ attributes: { n: -5 } }],
    })
  })

  test('every cut of a valid body is answered', () => {
    const whole = logsBody([
      { 1: 5n, 5: { 1: 'x' }, 6: [attribute('a', 'b')], 9: Buffer.alloc(16, 7) },
    ])
    for (let length = 0; length < whole.length; length++)
      expect(['bad', 'taken']).toContain(attempt('logs', 'protobuf', whole.subarray(0, length)))
    expect(attempt('logs', 'protobuf', whole.subarray(0, -1))).toBe('bad')
  })
})

describe('JSON', () => {
  const log = (record: unknown) =>
    Buffer.from(JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] }))
  const nested = (depth: number) => {
    let value: unknown = { stringValue: 'core' }
    for (let level = 0; level < depth; level++) value = { arrayValue: { values: [value] } }
    return value
  }

  test('values nested too deeply are bad, and 32 levels are not', () => {
    expect(attempt('logs', 'json', log({ body: nested(200) }))).toBe('bad')
    expect(attempt('logs', 'json', log({ body: nested(32) }))).toBe('taken')
    const map = { kvlistValue: { values: [{ key: 'k', value: nested(32) }] } }
    expect(attempt('logs', 'json', log({ body: map }))).toBe('bad')
  })

  test('keys of prototypes are keys like any other', () => {
    const text = `{"__proto__":{"resourceLogs":[]},"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[
      {"key":"__proto__","value":{"stringValue":"p"}},
      {"key":"constructor","value":{"intValue":"1"}},
      {"key":"toString","value":{"boolValue":true}}]}]}]}]}`
    const { batch } = decode('logs', 'json', Buffer.from(text))
    const attributes = batch.signal === 'logs' ? batch.records[0]?.attributes : undefined
    expect(Object.entries(attributes ?? {})).toEqual([
      ['__proto__', 'p'],
      ['constructor', 1],
      ['toString', true],
    ])
    const empty = decode('logs', 'json', log({})).batch
    const bare = empty.signal === 'logs' ? empty.records[0]?.attributes : undefined
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
      expect(bare?.[key]).toBeUndefined()
    expect(({} as Record<string, unknown>)['p']).toBeUndefined()
  })

  test('objects where numbers and texts belong reject the item, not the batch', () => {
    const trap = { toString: 1, valueOf: 1 }
    const metric = {
      name: trap,
      sum: { aggregationTemporality: trap, dataPoints: [{ asInt: trap }, { asInt: '4' }] },
    }
    const body = Buffer.from(
      JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [metric, 7] }] }] }),
    )
    const { batch, rejected } = decode('metrics', 'json', body)
    expect(rejected).toBe(2)
    expect(batch).toMatchObject({ points: [{ metric: '', value: 4, temporality: 'unspecified' }] })
    expect(attempt('logs', 'json', log({ timeUnixNano: trap, traceId: trap, body: trap }))).toBe(
      'taken',
    )
  })
})

test.each(SIGNALS)('more %s than a request may hold are refused early', (signal) => {
  const point = signal === 'metrics' ? encode({ 5: { 1: Array(1_000).fill({}) } }) : {}
  const items = Array(signal === 'metrics' ? 1_000 : ITEMS_MAX + 1).fill(point)
  const body = encode({ 1: { 2: { 2: items } } })
  expect(attempt(signal, 'protobuf', body)).toBe('too many')
})

test('whatever bytes come, the decoder answers with a batch or a known error', () => {
  const signal = fc.constantFrom(...SIGNALS)
  const encoding = fc.constantFrom(...ENCODINGS)
  fc.assert(
    fc.property(signal, encoding, fc.uint8Array({ maxLength: 300 }), (one, other, bytes) => {
      attempt(one, other, Buffer.from(bytes))
    }),
    { numRuns: 3_000 },
  )
})

test('a valid body with some bytes changed is answered too', () => {
  const whole = logsBody([
    { 1: 5n, 5: { 1: 'text' }, 6: [attribute('a', 'b'), attribute('n', 1.5, 4)], 12: 'event' },
    {
      6: [
        { 1: 'list', 2: nestedLists(3) },
        { 1: 'map', 2: nestedMaps(3) },
      ],
    },
  ])
  const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255))
  fc.assert(
    fc.property(fc.constantFrom(...SIGNALS), fc.array(change, { maxLength: 6 }), (one, changes) => {
      const body = Buffer.from(whole)
      for (const [at, byte] of changes) body[at] = byte
      attempt(one, 'protobuf', body)
    }),
    { numRuns: 5_000 },
  )
})

test('any JSON at all is answered', () => {
  const names = ['resourceLogs', 'scopeLogs', 'logRecords', 'attributes', 'key', 'value', 'body']
  const key = fc.oneof(
    fc.constantFrom(...names, 'arrayValue', 'values', 'timeUnixNano'),
    fc.string(),
  )
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      fc.constantFrom(null, true, -1, 1.5, '', '1', 'NaN'),
      fc.array(tie('node'), { maxLength: 4 }),
      fc.dictionary(key, tie('node'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(fc.constantFrom(...SIGNALS), tree.node, (signal, value) => {
      attempt(signal, 'json', Buffer.from(JSON.stringify(value)))
    }),
    { numRuns: 3_000 },
  )
})

test('JSON that is gone past is as valid as to a parser', () => {
  const whole = Buffer.from(
    JSON.stringify({ a: [1, -2.5e-7, 0, true, false, null, 'x'], 'ż\n"\\': { b: [[], {}, '€'] } }),
  )
  const change = fc.tuple(
    fc.nat(whole.length - 1),
    fc.constantFrom(...'{}[]",:\\0.-+eEtu \n\u0001x'),
  )
  const parse = (body: Buffer) => {
    try {
      JSON.parse(body.toString())
      return 'valid'
    } catch {
      return 'bad'
    }
  }
  const scan = (body: Buffer) => {
    const reader = new JsonReader(body)
    try {
      reader.skip()
      reader.end()
      return 'valid'
    } catch (error) {
      return error instanceof BadPayload ? 'bad' : 'defect'
    }
  }
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), fc.nat(whole.length), (changes, length) => {
      const body = Buffer.from(whole)
      for (const [at, letter] of changes) body.write(letter, at, 'latin1')
      expect(scan(body)).toBe(parse(body))
      const cut = whole.subarray(0, length)
      expect(scan(cut)).toBe(parse(cut))
    }),
    { numRuns: 5_000 },
  )
})

const JSON_RECORDS = '{"resourceLogs":[{"scopeLogs":[{"logRecords":['
const filled = (text: string) => text.repeat(BODY_BYTES_MAX / text.length - 1)

const BOMBS: readonly [string, Encoding, string, () => Buffer][] = [
  ['groups in groups', 'protobuf', 'BadPayload', () => Buffer.alloc(BODY_BYTES_MAX, 0x0b)],
  ['lengths', 'protobuf', 'BadPayload', () => Buffer.alloc(BODY_BYTES_MAX, 0x0a)],
  ['empty resources', 'protobuf', 'taken', () => Buffer.from(filled('\n\0'))],
  ['empty scopes', 'protobuf', 'taken', () => encode({ 1: Buffer.from(filled('\u0012\0')) })],
  [
    'empty records',
    'protobuf',
    'TooManyItems',
    () => encode({ 1: { 2: Buffer.from(filled('\u0012\0')) } }),
  ],
  ['empty attributes', 'protobuf', 'taken', () => logsBody([Buffer.from(filled('2\0'))])],
  ['attributes', 'protobuf', 'taken', () => logsBody([attributes(900_000)])],
  [
    'lists',
    'protobuf',
    'taken',
    () => logsBody([{ 5: { 5: Buffer.from(filled('\n\u0002*\0')) } }]),
  ],
  ['open brackets', 'json', 'BadPayload', () => Buffer.from(filled('['))],
  ['open objects', 'json', 'BadPayload', () => Buffer.from(filled('{"a":'))],
  ['empty objects', 'json', 'BadPayload', () => Buffer.from(`{"x":[${filled('{},')}{}]}`)],
  [
    'JSON records',
    'json',
    'BadPayload',
    () => Buffer.from(`${JSON_RECORDS}${filled('{},')}{}]}]}]}`),
  ],
  ['numbers', 'json', 'TooManyItems', () => Buffer.from(`${JSON_RECORDS}${filled('1,')}1]}]}]}`)],
]

/** So many attributes of a log record, each with a key of its own. */
function attributes(count: number): Buffer {
  const one = encode({ 6: attribute('00000', true, 2) })
  const all = Buffer.alloc(count * one.length, one)
  for (let index = 0; index < count; index++)
    all.write(index.toString(36).padStart(5, '0'), index * one.length + one.indexOf('00000'))
  return all
}

test.each(BOMBS.flatMap((bomb) => [[...bomb, true] as const, [...bomb, false] as const]))(
  'megabytes of %s take little time and memory (%s, %s, %o, sieved: %s)',
  async (_, encoding, result, make, is_sieved) => {
    const body = Uint8Array.from(make())
    const worker = new Worker(new URL('./decode-worker.ts', import.meta.url), {
      workerData: { signal: 'logs', encoding, body, is_sieved },
      resourceLimits: { maxOldGenerationSizeMb: 160 },
    })
    const [answer] = await once(worker, 'message')
    expect(answer.result).toBe(result)
    expect(answer.took_ms).toBeLessThan(10_000)
    await worker.terminate()
  },
)

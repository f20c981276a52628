import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findClient, findMap, nameOf } from '../../src/otlp/clients/index.ts'
import { decode, type Encoding } from '../../src/otlp/decode.ts'
import { eventName, SIEVES, type Sieve } from '../../src/otlp/sieve.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import { toProtobuf } from './descriptors.ts'

/** Half of them no client's own, so that the conventions are read too. */
const SERVICES = [
  'codex_exec',
  'claude-code',
  'gemini-cli',
  'github-copilot',
  ...Array(4).fill('shop'),
]
const EVENTS = ['codex.sse_event', 'api_request', 'gemini_cli.api_response', 'chat', 'other', '']
const DECIDING = [...new Set([...(SIEVES.logs?.keys ?? []), ...(SIEVES.traces?.keys ?? [])])]
const VALUES = ['response.completed', 'chat', 'LLM', 'ai.streamText.doStream', '12', '']

const key = fc.oneof(fc.constantFrom(...DECIDING), fc.constantFrom('model', 'prompt', '__proto__'))
const value = fc.oneof(
  fc.constantFrom(...VALUES).map((stringValue) => ({ stringValue })),
  fc.string({ unit: 'grapheme', maxLength: 60 }).map((stringValue) => ({ stringValue })),
  fc.integer().map((number) => ({ intValue: String(number) })),
  fc.constant({ arrayValue: { values: [{ stringValue: 'chat' }] } }),
  fc.constant({}),
)
const event = fc
  .constantFrom(...EVENTS)
  .map((name) => ({ key: 'event.name', value: { stringValue: name } }))
const text = (name: string, stringValue: string) => ({ key: name, value: { stringValue } })
/** What a request is told by, whole. */
const telling = fc.constantFrom(
  [],
  [text('gen_ai.operation.name', 'chat'), text('gen_ai.usage.input_tokens', '5')],
  [text('event.kind', 'response.completed'), text('input_token_count', '5')],
)
const usual = fc.array(fc.record({ key, value }), { maxLength: 6 })
const many = fc
  .nat(300)
  .map((size) => Array(size).fill({ key: 'k', value: { stringValue: 'v' } }) as object[])
const attributes = fc
  .tuple(fc.oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: many }), event, telling)
  .map(([before, named, after]) => [...before, named, ...after])
const instant = fc.bigInt(0n, 2n ** 64n - 1n).map(String)
const log = fc.record(
  { attributes, eventName: fc.constantFrom(...EVENTS), body: value, timeUnixNano: instant },
  { requiredKeys: [] },
)
const span = fc.record(
  { attributes, name: fc.constantFrom(...EVENTS), startTimeUnixNano: instant },
  { requiredKeys: [] },
)
const resource = fc.record({
  attributes: fc
    .constantFrom(...SERVICES)
    .map((name) => [{ key: 'service.name', value: { stringValue: name } }]),
})
const scope = fc.record({ name: fc.constantFrom('', 'gemini-cli', 'codex_otel.log_only') })

const turned = <Tree extends object>(tree: Tree) =>
  Object.fromEntries(Object.entries(tree).reverse())

/** Groups with the fields of an object in either order. */
function groupsOf(scopes: string, items: string, item: fc.Arbitrary<object>) {
  const inner = fc.record({ scope, [items]: fc.array(item, { maxLength: 4 }) })
  const part = fc.oneof(inner, inner.map(turned))
  const outer = fc.record({ resource, [scopes]: fc.array(part, { maxLength: 2 }) })
  return fc.array(fc.oneof(outer, outer.map(turned)), { maxLength: 2 })
}

const TREES = {
  logs: groupsOf('scopeLogs', 'logRecords', log).map((resourceLogs) => ({ resourceLogs })),
  traces: groupsOf('scopeSpans', 'spans', span).map((resourceSpans) => ({ resourceSpans })),
}

/** What has to be left in the end: the sieve may let more through, where a look cannot tell. */
function sifted(batch: Batch): Batch {
  if (batch.signal === 'metrics') return batch
  const ignored = new Map(batch.ignored)
  const isTold = (item: { client: ReturnType<typeof findClient>; is_told: boolean }) => {
    const name = nameOf(item.client)
    if (!item.is_told) ignored.set(name, (ignored.get(name) ?? 0) + 1)
    return item.is_told
  }
  const left =
    batch.signal === 'logs'
      ? {
          ...batch,
          records: batch.records.filter((one) => {
            const client = findClient(one, eventName(one))
            return isTold({ client, is_told: !!findMap(client, 'logs', one, eventName(one)) })
          }),
        }
      : {
          ...batch,
          spans: batch.spans.filter((one) => {
            const client = findClient(one, one.name)
            return isTold({ client, is_told: !!findMap(client, 'spans', one, one.name) })
          }),
        }
  return ignored.size > 0 ? { ...left, ignored } : left
}

test.each(['logs', 'traces'] as const)(
  'of %s exactly those are read that tell of requests, in both encodings',
  (signal) => {
    let read = 0
    fc.assert(
      fc.property(TREES[signal], (tree) => {
        const json = Buffer.from(JSON.stringify(tree))
        const left = (encoding: Encoding, body: Buffer, sieve?: Sieve) =>
          sifted(decode(signal, encoding, body, sieve).batch)
        const expected = left('json', json)
        expect(left('json', json, SIEVES[signal])).toEqual(expected)
        const spaced = Buffer.from(JSON.stringify(tree, null, '\t'))
        expect(left('json', spaced, SIEVES[signal])).toEqual(expected)
        const bytes = toProtobuf(signal, tree)
        expect(left('protobuf', bytes, SIEVES[signal])).toEqual(expected)
        if (expected.signal === 'logs') read += expected.records.length
        if (expected.signal === 'traces') read += expected.spans.length
      }),
      { numRuns: 1_000 },
    )
    expect(read).toBeGreaterThan(50)
  },
)

test('what tells of no request is not even read', () => {
  const attributes = [{ key: 'event.name', value: { stringValue: 'codex.tool_result' } }]
  const tree = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ attributes }] }] }] }
  const ignored = new Map([['codex', 1]])
  const expected = { batch: { signal: 'logs', records: [], ignored }, rejected: 0 }
  const json = Buffer.from(JSON.stringify(tree))
  expect(decode('logs', 'json', json, SIEVES.logs)).toEqual(expected)
  expect(decode('logs', 'protobuf', toProtobuf('logs', tree), SIEVES.logs)).toEqual(expected)
})

test('an ignored record with an instant that is none is rejected as without the sieve', () => {
  const records = [{ timeUnixNano: 'noon' }, { observedTimeUnixNano: -1 }, { timeUnixNano: null }]
  const body = Buffer.from(
    JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: records }] }] }),
  )
  const { rejected } = decode('logs', 'json', body)
  expect(rejected).toBe(2)
  expect(decode('logs', 'json', body, SIEVES.logs).rejected).toBe(rejected)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HOUR_MS } from '../../src/clock.ts'
import { rebuildEntries } from '../../src/ledger/rebuild.ts'
import { decode } from '../../src/otlp/decode.ts'
import { SIEVES } from '../../src/otlp/sieve.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import { toProtobuf } from './descriptors.ts'
import {
  catalog,
  logRecord,
  logs,
  metrics,
  NOW,
  ns,
  openBook,
  point,
  span,
  traces,
} from './telemetry.ts'
import { toRequest } from './transcode.ts'

/** Sessions told of by logs, metrics and spans, each wholly or in part; a hundred items in all. */
function corpus(): Batch[] {
  const batches: Batch[] = []
  for (let i = 0; i < 12; i++) {
    const session = `s${i % 5}`
    const at = NOW - i * 700_000
    const usage = { model: 'claude-sonnet-4-5', input_tokens: 10 + i, output_tokens: 3 * i }
    if (i % 5 !== 4)
      batches.push(
        logs(
          logRecord(
            'claude-code',
            {
              ...usage,
              'event.name': 'api_request',
              'session.id': session,
              request_id: `req_${i}`,
            },
            { time_ns: ns(at) },
          ),
        ),
      )
    const measured = { 'session.id': session, model: 'claude-sonnet-4-5', type: 'input' }
    const stretch = { start_ns: ns(at - 60_000), time_ns: ns(at), value: 10 + i }
    const total = { ...stretch, start_ns: ns(NOW - HOUR_MS * 9), value: 100 + i }
    batches.push(
      metrics(point('claude-code', 'claude_code.token.usage', measured, stretch)),
      metrics(
        point('gemini-cli', 'gemini_cli.token.usage', measured, {
          ...total,
          temporality: 'cumulative',
        }),
      ),
      traces(
        span('shop', 'chat', {
          'gen_ai.operation.name': 'chat',
          'gen_ai.provider.name': 'openai',
          'gen_ai.request.model': 'gpt-4o',
          'gen_ai.response.id': `chatcmpl-${i}`,
          'gen_ai.usage.input_tokens': 50 + i,
          'gen_ai.usage.output_tokens': 5,
        }),
      ),
      logs(
        logRecord('shop', {
          'event.name': 'gen_ai.client.inference.operation.details',
          'gen_ai.operation.name': 'chat',
          'gen_ai.provider.name': 'openai',
          'gen_ai.request.model': 'gpt-4o',
          'gen_ai.response.id': `chatcmpl-${i + 3}`,
          'gen_ai.usage.input_tokens': 50 + i + 3,
          'gen_ai.usage.output_tokens': 5,
        }),
      ),
    )
  }
  return batches
}

function merge(a: Batch, b: Batch): Batch | undefined {
  if (a.signal === 'logs' && b.signal === 'logs')
    return { signal: 'logs', records: [...a.records, ...b.records] }
  if (a.signal === 'traces' && b.signal === 'traces')
    return { signal: 'traces', spans: [...a.spans, ...b.spans] }
  if (a.signal === 'metrics' && b.signal === 'metrics')
    return { signal: 'metrics', points: [...a.points, ...b.points] }
  return undefined
}

/** Joins neighbours of one signal where `joins` says so: another split of the same items. */
function resplit(batches: readonly Batch[], joins: readonly boolean[]): Batch[] {
  const result: Batch[] = []
  for (const [i, batch] of batches.entries()) {
    const last = result.at(-1)
    const joined = last && joins[i % joins.length] ? merge(last, batch) : undefined
    if (joined) result[result.length - 1] = joined
    else result.push(batch)
  }
  return result
}

/** The batch as it comes over the wire in an encoding. */
function overWire(batch: Batch, is_json: boolean): Batch {
  const { signal } = batch
  const request = toRequest(batch)
  const decoded = is_json
    ? decode(signal, 'json', Buffer.from(JSON.stringify(request)), SIEVES[signal])
    : decode(signal, 'protobuf', toProtobuf(signal, request), SIEVES[signal])
  expect(decoded.rejected).toBe(0)
  return decoded.batch
}

async function totals(batches: readonly Batch[]) {
  const { book, spend, clock, db } = await openBook()
  for (const batch of batches) await book(batch)
  clock.set(NOW + HOUR_MS)
  const told = async () => [
    await spend(),
    await spend(['client', 'session']),
    await spend(['model', 'day']),
  ]
  const before = await told()
  await rebuildEntries(db, catalog)
  expect(await told()).toEqual(before)
  return before
}

test('any split, order, duplication, encoding and interleaving of batches gives the same totals', async () => {
  const batches = corpus()
  const expected = await totals(batches)
  expect(expected[0]?.total.input_tokens).toBeGreaterThan(0)
  const arrangement = fc.record({
    shuffled: fc.shuffledSubarray([...batches, ...batches], { minLength: batches.length * 2 }),
    joins: fc.array(fc.boolean(), { minLength: 3, maxLength: 9 }),
    encodings: fc.array(fc.boolean(), { minLength: 3, maxLength: 9 }),
  })
  await fc.assert(
    fc.asyncProperty(arrangement, async ({ shuffled, joins, encodings }) => {
      const sent = resplit(shuffled, joins).map((batch, i) =>
        overWire(batch, encodings[i % encodings.length] === true),
      )
      expect(await totals(sent)).toEqual(expected)
    }),
    { numRuns: 12 },
  )
})

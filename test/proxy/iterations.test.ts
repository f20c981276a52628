import { expect, test } from 'vitest'
import { priceEvent } from '../../src/ledger/record.ts'
import { sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED } from './fixture.ts'

const headers = { 'x-api-key': WRAPPED, 'content-type': 'application/json' }

/** What is booked for an answer of Anthropic with this usage: tokens and nano-dollars by model. */
async function book(model: string, usage: object) {
  const far_end = await startFarEnd((outgoing) =>
    sendJson(outgoing, { id: 'm', model, stop_reason: 'end_turn', usage }),
  )
  const proxy = await startWith(far_end)
  const body = { model: 'claude-opus-5', max_tokens: 10_000, messages: [] }
  await fetch(`${proxy.url}/proxy/anthropic/v1/messages`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  const [{ event, beside = [] } = { event: undefined }] = proxy.gate.settled
  return [event, ...beside].map((one) => [
    one?.model,
    one?.usage.uncached_input_tokens,
    one?.usage.output_tokens,
    one && priceEvent(proxy.catalog, one).nanos,
  ])
}

test('a fallback is billed at its price, and what was declined before it at its own', async () => {
  const usage = {
    input_tokens: 1_000,
    output_tokens: 100,
    iterations: [
      { type: 'message', model: 'claude-opus-5', input_tokens: 1_000, output_tokens: 3_000 },
      {
        type: 'fallback_message',
        model: 'claude-sonnet-4-6',
        input_tokens: 1_000,
        output_tokens: 100,
      },
    ],
  }
  const wanted = [
    // 1,000 × $3 and 100 × $15 a million.
    ['claude-sonnet-4-6', 1_000, 100, 4_500_000n],
    // 1,000 × $5 and 3,000 × $25 a million.
    ['claude-opus-5', 1_000, 3_000, 80_000_000n],
  ]
  expect(await book('claude-sonnet-4-6', usage)).toEqual(wanted)
  // Where an iteration names no model it is the one that was asked.
  const [first, second] = usage.iterations
  const { model: _, ...unnamed } = first ?? {}
  expect(await book('claude-sonnet-4-6', { ...usage, iterations: [unnamed, second] })).toEqual(
    wanted,
  )
})

test('an advisor is billed at its price, and each turn of the model that it advises is', async () => {
  const usage = {
    input_tokens: 412,
    output_tokens: 531,
    iterations: [
      { type: 'message', input_tokens: 412, output_tokens: 89 },
      { type: 'advisor_message', model: 'claude-fable-5', input_tokens: 823, output_tokens: 1_612 },
      { type: 'message', input_tokens: 1_348, output_tokens: 442 },
    ],
  }
  const booked = await book('claude-opus-5', usage)
  expect(booked.map(([model, input, output]) => [model, input, output])).toEqual([
    ['claude-opus-5', 1_760, 531],
    ['claude-fable-5', 823, 1_612],
  ])
})

test('a compaction is billed on top', async () => {
  const usage = {
    input_tokens: 23_000,
    output_tokens: 1_000,
    iterations: [
      { type: 'compaction', input_tokens: 180_000, output_tokens: 3_500 },
      { type: 'message', input_tokens: 23_000, output_tokens: 1_000 },
    ],
  }
  // 203,000 × $5 and 4,500 × $25 a million.
  expect(await book('claude-opus-5', usage)).toEqual([
    ['claude-opus-5', 203_000, 4_500, 1_127_500_000n],
  ])
})

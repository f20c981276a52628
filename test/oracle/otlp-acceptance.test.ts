import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { HOUR_MS } from '../../src/clock.ts'
import type { Signal } from '../../src/otlp/decode-batch.ts'
import { ENCODINGS, type EncodingName, openLedgerReceiver } from '../otlp/ledger-receiver.ts'
import { type Json, toJson } from '../otlp/transcode.ts'
import { FIXTURES, has_fixtures } from './otlp-json.ts'

/**
 * The contract's acceptance tests on captured telemetry, over a socket into the ledger: in each encoding,
 * in every order, each request posted twice. Those without a capture are in `test/otlp/acceptance.test.ts`.
 */

/** After all captures, so that no clock seems to be ahead. */
const NOW = Date.parse('2026-11-24T12:00:00Z')

type Request = { readonly signal: Signal; readonly json: Json }

function capture(name: string): Request {
  const bytes = readFileSync(join(FIXTURES, name))
  const signal = name.includes('metrics') ? 'metrics' : name.includes('spans') ? 'traces' : 'logs'
  return { signal, json: name.endsWith('.pb') ? toJson(signal, bytes) : JSON.parse(String(bytes)) }
}

/** The ledger after all of it, when every grace is over. */
async function book(encoding: EncodingName, requests: readonly Request[]) {
  const receiver = await openLedgerReceiver()
  const { clock, post, db, entries } = receiver
  clock.set(NOW)
  for (const { signal, json } of [...requests, ...requests]) {
    const { status, body } = await post(signal, encoding, json)
    expect({ status, body: body.toString() }).toEqual({
      status: 200,
      body: encoding === 'JSON' ? '{}' : '',
    })
  }
  clock.set(NOW + HOUR_MS)
  const rows = await entries()
  const counted = await db
    .selectFrom('ledger_entry')
    .select('id')
    .where('superseded_by', 'is', null)
    .execute()
  const is_counted = new Set(counted.map(({ id }) => id))
  return {
    counted: rows.filter(({ id }) => is_counted.has(String(id))),
    total: (await receiver.spend()).total,
    total_of_august: (await receiver.spend([], {}, false, { from: '2026-08-01' })).total,
    db,
  }
}

function orders<Item>(items: readonly Item[]): Item[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((item) =>
    orders(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  )
}

/** The turn with a tool call, whose spans and metrics were not captured: twice what those of one request tell. */
function twice({ signal, json }: Request, session: readonly [from: string, to: string]): Request {
  const text = JSON.stringify(json).replaceAll(...session)
  const count = /"(intValue|sum)":"?(\d+)"?/g
  const doubled = text.replace(
    /"key":"codex\.turn\.token_usage[^}]*\}|"count":"?1"?,"sum":[\d.]+/g,
    (part) => part.replace(count, (_, name, value) => `"${name}":${2 * Number(value)}`),
  )
  return { signal, json: JSON.parse(doubled) }
}

describe.skipIf(!has_fixtures).each(ENCODINGS)('captured telemetry in %s', (encoding) => {
  const codex_rows = [1, 2].map(() => ({
    client: 'codex',
    uncached: 2_345,
    cached: 10_000,
    output: 678,
    reasoning: 512,
  }))

  test('1: Codex, a turn with a tool call: 2 rows at the time of their event', async () => {
    const logs = capture('codex-logs.raw.pb')
    const { counted, total } = await book(encoding, [logs])
    expect(counted).toMatchObject(codex_rows)
    expect(total).toMatchObject({ requests: 2, input_tokens: 24_690, output_tokens: 1_356 })
    const stamps = JSON.stringify(logs.json).match(/2026-11-24T03:0\d:\d\d\.\d{3}Z/g) ?? []
    for (const { occurred_at } of counted)
      expect(stamps).toContain(new Date(Number(occurred_at)).toISOString())
  })

  test('2: and with metrics and traces of the same run in any order', async () => {
    const session = [
      '01a20b82-0931-73d1-b497-bcd2b5b057b9',
      '01a20b82-a8b7-7751-bd50-e0cfabc53ccb',
    ] as const
    const run = [
      capture('codex-logs.raw.pb'),
      twice(capture('codex-metrics.json'), session),
      twice(capture('codex-spans.json'), session),
    ]
    expect((await book(encoding, run.slice(1))).total.input_tokens).toBe(24_690)
    for (const order of orders(run)) {
      const { counted, total } = await book(encoding, order)
      expect(counted).toMatchObject(codex_rows)
      expect(total).toMatchObject({ requests: 2, input_tokens: 24_690, output_tokens: 1_356 })
    }
  })

  test('3: Codex with null bodies, empty ids and counts as text: 1 row', async () => {
    expect((await book(encoding, [capture('codex-logs.json')])).counted).toMatchObject(
      codex_rows.slice(1),
    )
  })

  const gemini_total = { input_tokens: 2_000, cached_input_tokens: 1_500, output_tokens: 150 }

  test('4: Gemini CLI: 1 row, the twin ignored, nothing of what was said kept', async () => {
    const { counted, total, db } = await book(encoding, [capture('gemini-logs.json')])
    expect(counted).toMatchObject([{ uncached: 500, cached: 1_500, output: 150 }])
    expect(total).toMatchObject({ ...gemini_total, requests: 1 })
    const tables = await db.introspection.getTables()
    for (const { name } of tables) {
      const rows = await db
        .selectFrom(name as 'receiver')
        .selectAll()
        .execute()
      const text = JSON.stringify(rows, (_, value) =>
        typeof value === 'bigint' ? String(value) : value,
      )
      expect(text).not.toMatch(/SECRET PROMPT TEXT|system_instructions|non-interactive/)
    }
  })

  test('5: its metrics alone say the same after the grace; of higher ones the highest counts', async () => {
    const metrics = capture('gemini-metrics.json')
    const { counted, total } = await book(encoding, [metrics])
    expect(counted).toEqual([])
    expect(total).toMatchObject(gemini_total)
    const higher = JSON.stringify(metrics.json).replace(
      /"gemini_cli\.token\.usage"[\s\S]*?(?="gemini_cli\.session)/,
      (part) => part.replace(/"(asDouble|asInt)":"?(\d+)"?/g, (_, as, n) => `"${as}":${n * 3}`),
    )
    const grown = { signal: 'metrics', json: JSON.parse(higher) as Json } as const
    const tripled = Object.fromEntries(
      Object.entries(gemini_total).map(([name, tokens]) => [name, tokens * 3]),
    )
    for (const order of orders([metrics, grown]))
      expect((await book(encoding, order)).total).toMatchObject(tripled)
  })

  test('6: Claude Code: 26,211 µUSD once, by its logs or either kind of metrics', async () => {
    const logs = capture('claude-code-logs.synthetic.pb')
    const kind = (name: string) =>
      [1, 2].map((n) => capture(`claude-code-metrics-${name}-${n}.synthetic.pb`))
    const cost = { cost_usd: '0.026211000', output_tokens: 415, cached_input_tokens: 38_100 }
    const [deltas, cumulatives] = [kind('delta'), kind('cumulative')]
    for (const alone of [deltas, deltas.toReversed(), cumulatives, cumulatives.toReversed()])
      expect((await book(encoding, alone)).total_of_august).toMatchObject(cost)
    for (const order of orders([[logs], deltas, cumulatives])) {
      const { counted, total_of_august } = await book(encoding, order.flat())
      expect(counted).toHaveLength(3)
      expect(total_of_august).toMatchObject({ ...cost, requests: 3 })
    }
  })
})

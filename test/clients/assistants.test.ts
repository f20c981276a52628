import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Bill,
  has_upstream,
  REAL_KEYS,
  startUpstream,
  type Upstream,
  type UpstreamRow,
} from '../oracle/upstream.ts'
import { runCodex, runGemini, type Started } from './assistants.ts'
import { installClient } from './install.ts'
import { type Entry, startOutlay } from './outlay.ts'

const PROMPT = 'Say that planted-prompt was read'

/** What the upstream is told to bill, request by request; the first asks the client to use a tool. */
const CODEX_REPLIES = [
  { tool: 'update_plan', in: 12_345, out: 678, cached: 10_000, reasoning: 512 },
  { in: 13_579, out: 246, cached: 12_000, cw5m: 800 },
]
const GEMINI_REPLIES = [
  { path: 'flash-lite', in: 1_234, out: 32, reasoning: 8 },
  { tool: 'list_directory', in: 20_345, out: 456, cached: 15_000, reasoning: 300 },
  { in: 21_000, out: 77, cached: 20_000, tool_use: 5 },
]

type Way = { readonly has_telemetry: boolean; readonly through_proxy: boolean }

const WAYS: readonly (readonly [string, Way])[] = [
  ['telemetry', { has_telemetry: true, through_proxy: false }],
  ['the proxy', { has_telemetry: false, through_proxy: true }],
  ['both', { has_telemetry: true, through_proxy: true }],
]

const codex = has_upstream ? await installClient('codex') : null
const gemini = has_upstream ? await installClient('gemini') : null

let upstream: Upstream

beforeAll(async () => {
  if (has_upstream) upstream = await startUpstream()
})
afterAll(() => upstream?.close())
beforeEach(async () => {
  if (!has_upstream) return
  await upstream.control('reset')
  await upstream.control('leak-pattern', { pattern: 'olk_' })
})
afterEach(async () => {
  if (has_upstream) expect((await upstream.ledger()).leaks).toEqual([])
})

type Assistant = {
  readonly client: 'codex' | 'gemini-cli'
  readonly provider: 'openai' | 'google'
  readonly program: string | null
  readonly replies: readonly ({ readonly path?: string } & Readonly<Record<string, unknown>>)[]
  /** Models whose requests the client keeps no log of. */
  readonly unlogged?: RegExp
  run(started: Started): Promise<string>
}

/** Runs a client as `outlay env` says, beside an Outlay of its own. */
async function runAssistant(assistant: Assistant, { has_telemetry, through_proxy }: Way) {
  const { client, provider, program, replies, run } = assistant
  for (const reply of replies)
    await upstream.control('fault', { path: 'responses|enerateContent', times: 1, ...reply })
  const outlay = await startOutlay(upstream)
  const wrapped_key = through_proxy ? await outlay.makeKey(provider) : undefined
  await run({
    program: program ?? '',
    home: outlay.client_home,
    prompt: PROMPT,
    told: {
      printed: await outlay.printLines(client),
      has_telemetry,
      ...(wrapped_key ? { wrapped_key } : {}),
    },
    direct: { base_url: upstream.base_urls[provider] ?? '', key: REAL_KEYS[provider] },
  })
  const billed = (await upstream.rows()).filter(isBilled)
  expect(billed).toHaveLength(replies.length)
  return { outlay, billed }
}

/** What counts is what was billed, request by request and class by class. */
function expectBilled(entries: readonly Entry[], billed: readonly UpstreamRow[]): void {
  const counted = entries.filter(({ superseded_by }) => superseded_by === null)
  expect(counted.map(({ bill }) => bill).sort(byText)).toEqual(billed.map(billOf).sort(byText))
  expect(counted.map(({ model }) => model).sort()).toEqual(billed.map(({ model }) => model).sort())
}

async function expectTruth(assistant: Assistant, way: Way) {
  const { outlay, billed } = await runAssistant(assistant, way)
  const source = way.has_telemetry ? 'otlp' : 'proxy'
  const entries = await outlay.waitForEntries(source, billed.length)
  expectBilled(entries, billed)
  expectSeen(entries, { ...way, client: assistant.client, requests: billed.length })
  expect((await outlay.askSpend()).total).toMatchObject(sumOf(billed))
  expect(await outlay.importLogs()).toBe(0)
  expect((await outlay.askSpend()).total).toMatchObject(sumOf(billed))
  expect(outlay.readFiles()).not.toMatch(/planted-prompt|sk-real|AIza-real/)
}

/** Nothing is set, and only what the client leaves on disk is read. */
async function expectOwnLog(assistant: Assistant) {
  const way = { has_telemetry: false, through_proxy: false }
  const { outlay, billed } = await runAssistant(assistant, way)
  expect(await outlay.importLogs()).toBe(0)
  const logged = billed.filter(({ model }) => !assistant.unlogged?.test(model ?? ''))
  expectBilled(await outlay.waitForEntries('local_log', logged.length), logged)
}

type Seen = Way & { readonly client: string; readonly requests: number }

/** Each request was seen by every source that was on, and the proxy's is the one that counts. */
function expectSeen(entries: readonly Entry[], { client, requests, ...way }: Seen): void {
  const { otlp = [], proxy = [] } = Object.groupBy(entries, ({ source }) => source)
  const requests_told = otlp.filter(({ signal }) => signal === 'logs')
  expect(requests_told).toHaveLength(way.has_telemetry ? requests : 0)
  expect(proxy).toHaveLength(way.through_proxy ? requests : 0)
  for (const { superseded_by } of proxy) expect(superseded_by).toBeNull()
  for (const { session_id, superseded_by } of requests_told) {
    expect(session_id).toMatch(/^[0-9a-f-]{36}$/)
    expect(superseded_by === null).toBe(!way.through_proxy)
  }
  for (const entry of entries) expect(entry).toMatchObject({ client, unpriced_reason: null })
}

function isBilled({ usage }: UpstreamRow): boolean {
  return Object.values(usage).some((count) => count > 0)
}

const CLASSES = [
  'input_uncached_text',
  'input_cache_read',
  'input_cache_write_5m',
  'output_text',
  'output_reasoning',
] as const

function billOf({ usage }: UpstreamRow): Bill {
  return Object.fromEntries(CLASSES.map((name) => [name, usage[name] ?? 0]))
}

function sumOf(rows: readonly UpstreamRow[]) {
  const sum = (...names: (typeof CLASSES)[number][]) =>
    rows.reduce(
      (total, { usage }) => names.reduce((all, name) => all + (usage[name] ?? 0), total),
      0,
    )
  return {
    requests: rows.length,
    input_tokens: sum('input_uncached_text', 'input_cache_read', 'input_cache_write_5m'),
    cached_input_tokens: sum('input_cache_read'),
    output_tokens: sum('output_text', 'output_reasoning'),
    unpriced_requests: 0,
  }
}

function byText(a: Bill, b: Bill): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1
}

describe.skipIf(codex === null)('Codex CLI, as outlay env codex says', () => {
  const assistant: Assistant = {
    client: 'codex',
    provider: 'openai',
    program: codex,
    replies: CODEX_REPLIES,
    run: runCodex,
  }

  test.each(WAYS)('by %s: the ledger is what was billed', (_, way) => expectTruth(assistant, way))

  test('by its own log: the ledger is what was billed', () => expectOwnLog(assistant))

  test('with every signal on, in JSON, the tokens told four times count once', () =>
    expectTruth(
      { ...assistant, run: (started) => runCodex(withSignals(started)) },
      { has_telemetry: true, through_proxy: false },
    ))
})

/** As people set it who want metrics and traces as well, and read JSON. */
function withSignals(started: Started): Started {
  const { printed } = started.told
  const [, logs = ''] = /^exporter = (.*)$/m.exec(printed) ?? []
  const json = logs.replace('"binary"', '"json"')
  const all = [
    `exporter = ${json}`,
    `metrics_exporter = ${json.replace('/v1/logs', '/v1/metrics')}`,
    `trace_exporter = ${json.replace('/v1/logs', '/v1/traces')}`,
  ]
  return {
    ...started,
    told: { ...started.told, printed: printed.replace(/^exporter = .*$/m, all.join('\n')) },
  }
}

describe.skipIf(gemini === null)('Gemini CLI, as outlay env gemini-cli says', () => {
  const assistant: Assistant = {
    client: 'gemini-cli',
    provider: 'google',
    program: gemini,
    replies: GEMINI_REPLIES,
    unlogged: /flash-lite/,
    run: runGemini,
  }

  test.each(WAYS)('by %s: the ledger is what was billed', (_, way) => expectTruth(assistant, way))

  test('by its own log: the ledger is what was billed', () => expectOwnLog(assistant))
})

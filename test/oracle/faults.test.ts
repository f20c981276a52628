import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MINUTE_MS } from '../../src/clock.ts'
import { reportStatus } from '../../src/jobs/status.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import { resolvePeriod } from '../../src/period.ts'
import {
  expectTruth,
  listVisible,
  type Outlay,
  ourFigures,
  SECRETS,
  startOutlay,
  sumCells,
} from './outlay.ts'
import { has_simulator, type Mode, type Simulator, startSimulator } from './sim.ts'

const DAYS = 9
const ALWAYS = 99

type Stream = {
  readonly provider: string
  readonly mode: Mode
  /** Our name of it. */
  readonly stream: string
  readonly match: string
  /** Fields without which its rows cannot be read, and fields that nothing needs. */
  readonly needed: readonly string[]
  readonly spare: readonly string[]
  readonly is_directory?: boolean
}

const STREAMS: readonly Stream[] = [
  {
    provider: 'anthropic',
    mode: 'analytics',
    stream: 'cost',
    match: 'analytics/cost',
    needed: ['cost'],
    spare: ['ending_at'],
  },
  {
    provider: 'anthropic',
    mode: 'analytics',
    stream: 'usage',
    match: 'analytics/usage',
    needed: ['usage'],
    spare: ['ending_at'],
  },
  {
    provider: 'anthropic',
    mode: 'legacy',
    stream: 'cost',
    match: 'cost_report',
    needed: ['amount'],
    spare: [],
  },
  {
    provider: 'anthropic',
    mode: 'legacy',
    stream: 'usage',
    match: 'usage_report/messages',
    needed: ['uncached_input_tokens'],
    spare: [],
  },
  {
    provider: 'anthropic',
    mode: 'legacy',
    stream: 'claude_code',
    match: 'claude_code',
    needed: ['actor'],
    spare: ['core_metrics', 'tool_actions', 'subscription_type'],
  },
  {
    provider: 'anthropic',
    mode: 'analytics',
    stream: 'directory',
    match: 'organizations/(api_keys|users)',
    needed: ['id'],
    spare: ['partial_key_hint'],
    is_directory: true,
  },
  {
    provider: 'openai',
    mode: 'legacy',
    stream: 'cost',
    match: 'organization/costs.*',
    needed: ['amount'],
    spare: ['object', 'quantity', 'quantity_unit', 'user_id'],
  },
  {
    provider: 'openai',
    mode: 'legacy',
    stream: 'usage.completions',
    match: 'usage/completions',
    needed: ['input_tokens'],
    spare: ['object', 'input_uncached_tokens', 'input_text_tokens', 'api_source'],
  },
  {
    provider: 'openai',
    mode: 'legacy',
    stream: 'usage.embeddings',
    match: 'usage/embeddings',
    needed: ['input_tokens'],
    spare: ['object', 'user_id'],
  },
  {
    provider: 'openai',
    mode: 'legacy',
    stream: 'usage.web_search_calls',
    match: 'usage/web_search',
    needed: ['num_requests'],
    spare: ['object'],
  },
  {
    provider: 'openai',
    mode: 'legacy',
    stream: 'directory',
    match: 'projects/proj_simApp/api_keys',
    needed: ['id'],
    spare: ['redacted_value'],
    is_directory: true,
  },
  {
    provider: 'openrouter',
    mode: 'legacy',
    stream: 'activity',
    match: 'openrouter/activity',
    needed: ['date'],
    spare: ['provider_name', 'model_permaslug'],
  },
]

type Setting = { outlay: Outlay; simulator: Simulator; stream: Stream }

async function fault({ simulator, stream }: Setting, kind: string, options: object = {}) {
  await simulator.control('fault', { match: stream.match, kind, times: ALWAYS, ...options })
}

/** Faults are gone; the clock and the world are where they were. */
async function clear({ simulator, outlay }: Setting) {
  await simulator.control('reset', {})
  outlay.clock.set(simulator.now)
}

async function sync({ outlay, stream }: Setting, options: object = {}) {
  const outcomes = await outlay.sync({ provider: stream.provider, ...options })
  return outcomes.flatMap(({ failures }) => failures)
}

/** A person's view of the stream, and that no key is in it or in the store. */
async function status({ outlay, stream }: Setting) {
  const report = await reportStatus(outlay.app)
  expect(JSON.stringify(report)).not.toMatch(SECRETS)
  const files = ['outlay.db', 'outlay.db-wal'].map((name) => join(outlay.home, name))
  for (const file of files) expect(readFileSync(file, 'latin1')).not.toMatch(SECRETS)
  const connection = report.connections.find(({ provider }) => provider === stream.provider)
  const own = connection?.streams.find((one) => one.stream === stream.stream)
  const others =
    connection?.streams.filter((one) => one !== own && one.stream !== 'directory') ?? []
  return { state: connection?.state, own, others, problems: report.problems }
}

async function expectExact(setting: Setting) {
  const { outlay, simulator, stream } = setting
  await expectTruth(outlay, simulator, { axes: ['provider', 'day'], providers: [stream.provider] })
}

/** Of every day the total is what the provider says or nothing: never a part. */
async function expectNoHalves({ outlay, simulator, stream }: Setting) {
  const providers = { providers: [stream.provider] }
  const ours = await ourFigures(outlay, simulator, 'day', providers)
  const truth = sumCells(await listVisible(outlay, simulator, providers), 'day')
  for (const [day, { cost }] of ours) expect([0n, truth.get(day)?.cost], day).toContain(cost)
}

async function start(stream: Stream): Promise<Setting> {
  const simulator = await startSimulator({ seed: 21, days: DAYS, mode: stream.mode })
  return { outlay: await startOutlay(simulator, { timeout_ms: 1_500 }), simulator, stream }
}

/** What the fault makes of a stream that was read before: the others go on, the totals stay. */
async function expectFailure(
  setting: Setting,
  { status: wanted, problem }: { status: string; problem: RegExp },
) {
  const failures = await sync(setting)
  const { own, others, problems, state } = await status(setting)
  expect(own?.status).toBe(wanted)
  expect(own?.problem).toMatch(problem)
  expect(problems.join('\n')).toMatch(problem)
  expect(others.map((one) => one.status)).toEqual(others.map(() => 'ok'))
  if (!setting.stream.is_directory) expect(state).toBe('needs_attention')
  if (wanted !== 'auth_failed' || !setting.stream.is_directory)
    // OpenRouter's activity tells which workspaces have names to be asked for.
    expect(new Set(['directory', ...failures.map((one) => one.stream)])).toEqual(
      new Set(['directory', setting.stream.stream]),
    )
  await expectExact(setting)
  await setting.simulator.control('reset', {})
}

async function expectRecovery(setting: Setting) {
  await clear(setting)
  expect(await sync(setting)).toEqual([])
  const { own, problems } = await status(setting)
  expect(own).toMatchObject({ status: 'ok', problem: null })
  expect(problems).toEqual([])
  await expectExact(setting)
}

const AGAIN = /The sync tries again by itself; what was read before stays\.$/m

/** OpenAI's costs are asked once before, for whose key it is. */
function firstRead({ match }: { match: string }): number {
  return match.startsWith('organization/costs') ? 2 : 1
}

/** What the HTTP client does is the same for every stream; once a provider is enough. */
function isFirst(stream: Stream): boolean {
  return STREAMS.find(({ provider }) => provider === stream.provider) === stream
}

/** Declares a test for the streams that it is about; for the others there is none to skip. */
function onlyIf(
  is_wanted: boolean,
): (name: string, run: () => Promise<void>, timeout?: number) => void {
  return is_wanted ? test : () => {}
}

describe.skipIf(!has_simulator).each(STREAMS)('$provider $stream ($match, $mode)', (stream) => {
  test('fails, is told, and comes back', async () => {
    const setting = await start(stream)
    // The very first read fails: nothing of it counts.
    await fault(setting, 'malformed_json')
    await sync(setting)
    await expectNoHalves(setting)
    await expectRecovery(setting)

    const needed = /Needed: .*key.* Make one at https:\/\/.* and run: outlay connect/
    for (const code of [401, 403]) {
      await fault(setting, 'status', { status: code })
      const is_named = stream.is_directory && code === 403
      const problem = is_named ? /are shown by their ids/ : needed
      await expectFailure(setting, { status: 'auth_failed', problem })
    }
    await expectRecovery(setting)
    for (const code of [400, 408, 500, 529]) {
      // A 400 without a code makes the legacy usage report drop its beta dimension first.
      await fault(setting, 'status', { status: code })
      await expectFailure(setting, {
        status: 'failed',
        problem: new RegExp(`answered ${code}.*${AGAIN.source}`),
      })
    }
    await fault(setting, 'cut')
    await expectFailure(setting, {
      status: 'failed',
      problem: new RegExp(`could not be reached \\(.*${AGAIN.source}`),
    })
    if (stream.provider !== 'openrouter') {
      await fault(setting, 'no_next_page')
      await expectFailure(setting, {
        status: 'failed',
        problem: /promised another page without saying where/,
      })
      await fault(setting, 'repeat_page')
      await expectFailure(setting, {
        status: 'failed',
        problem: stream.is_directory
          ? /sent the same page twice|answered 400|without saying where/
          : /sent the same page twice/,
      })
      if (!stream.is_directory && stream.stream !== 'claude_code') {
        await fault(setting, 'repeat_page', { times: firstRead(stream) })
        await expectFailure(setting, { status: 'failed', problem: /sent the same page twice/ })
      }
    }
    await expectRecovery(setting)
  })

  onlyIf(isFirst(stream))(
    'what passes by itself is tried again, as the provider asks',
    async () => {
      const setting = await start(stream)
      const count = async () => {
        const { entries } = await setting.simulator.log()
        return entries.filter(({ fault: kind }) => kind !== null).length
      }
      for (const faults of [
        [
          { kind: 'status', status: 503, times: 2 },
          { kind: 'cut', times: 1 },
          { kind: 'status', status: 429, retry_after_ms: 20, times: 1 },
        ],
        [
          { kind: 'status', status: 400, should_retry: true, times: 1 },
          { kind: 'malformed_json', times: 1 },
          { kind: 'status', status: 529, retry_after: 0, times: 1 },
          { kind: 'status', status: 429, retry_after: 1, as: 'date', times: 1 },
        ],
        [
          { kind: 'hang', times: 1 },
          { kind: 'status', status: 429, retry_after: 1, times: 1 },
        ],
      ]) {
        for (const { kind, ...options } of faults) await fault(setting, kind, options)
        expect(await sync(setting)).toEqual([])
        expect(await count()).toBe(faults.reduce((sum, { times }) => sum + times, 0))
        await clear(setting)
      }
      await expectExact(setting)
      await fault(setting, 'status', { status: 503, should_retry: false })
      await sync(setting)
      expect(await count()).toBeLessThanOrEqual(2)
      await expectRecovery(setting)
    },
  )

  onlyIf(isFirst(stream))('"slow down" pauses the connection for as long as asked', async () => {
    const setting = await start(stream)
    await sync(setting)
    for (const [options, wait_ms] of [
      [{ retry_after: 300 }, 300_000],
      [{ retry_after: 300, as: 'date' }, 300_000],
      [{ retry_after_ms: 90_500 }, 90_500],
      [{}, 60_000],
      [{ retry_after: 86_400 }, 15 * MINUTE_MS],
    ] as const) {
      await fault(setting, 'status', { status: 429, times: 1, ...options })
      await sync(setting, { is_background: true })
      const { state, problems } = await status(setting)
      expect(problems.join()).toMatch(/asked to slow down; the sync goes on by itself in \d+ s\./)
      expect(state).toBe('paused')
      expect(problems.join()).toMatch(/is paused until 2026-/)
      const { paused_until } = await setting.outlay.app.db
        .selectFrom('connection')
        .select('paused_until')
        .where('provider', '=', stream.provider)
        .executeTakeFirstOrThrow()
      expect((paused_until ?? 0) - setting.outlay.clock.now()).toBe(wait_ms)
      await expectExact(setting)
      await clear(setting)
    }
    await sync(setting)
    await expectExact(setting)
  })

  test('rows that are odd are counted, rows that are broken are named', async () => {
    const setting = await start(stream)
    await fault(setting, 'unknown_enum')
    expect(await sync(setting)).toEqual([])
    await expectExact(setting)
    await clear(setting)
    if (stream.spare.length > 0) {
      await fault(setting, 'drop_fields', { fields: stream.spare })
      expect(await sync(setting)).toEqual([])
      await expectExact(setting)
      await clear(setting)
    }
    if (stream.provider === 'openai')
      for (const kind of ['string_amounts', 'result_key']) {
        await fault(setting, kind)
        expect(await sync(setting)).toEqual([])
        await expectExact(setting)
        await clear(setting)
      }
    await fault(setting, 'malformed_row')
    expect(await sync(setting)).toEqual([])
    await expectExact(setting)
    const broken = new RegExp(
      `\\d+ rows? of ${stream.provider} ${stream.stream} could not be read and (is|are) left out`,
    )
    if (!stream.is_directory) expect((await status(setting)).problems.join()).toMatch(broken)
    await expectRecovery(setting)
    await fault(setting, 'drop_fields', { fields: stream.needed })
    expect(await sync(setting)).toEqual([])
    await expectExact(setting)
    if (!stream.is_directory) expect((await status(setting)).problems.join()).toMatch(broken)
    await expectRecovery(setting)
  })

  onlyIf(!stream.is_directory)(
    'rows that were broken at the first read come in later',
    async () => {
      const setting = await start(stream)
      await fault(setting, 'drop_fields', { fields: stream.needed })
      await sync(setting)
      await expectRecovery(setting)
    },
  )
})

/** Rows that a report may carry, and how much they add. */
const EXTRA: readonly {
  provider: string
  mode: Mode
  match: string
  row(amount: unknown, currency: string): unknown
  unit: 'cents' | 'usd'
}[] = [
  {
    provider: 'anthropic',
    mode: 'analytics',
    match: 'analytics/cost',
    unit: 'cents',
    row: (amount, currency) => ({
      starting_at: '2026-11-19T00:00:00Z',
      ending_at: '2026-11-20T00:00:00Z',
      group: { model: `model ${amount} ${currency}`, cost_type: 'tokens', token_type: null },
      cost: { amount, list_amount: amount, currency, requests: null },
    }),
  },
  {
    provider: 'anthropic',
    mode: 'legacy',
    match: 'cost_report',
    unit: 'cents',
    row: (amount, currency) => ({
      amount,
      currency,
      description: `row ${amount} ${currency}`,
      cost_type: 'tokens',
      token_type: null,
      model: null,
      service_tier: null,
      context_window: null,
      inference_geo: null,
      workspace_id: null,
    }),
  },
  {
    provider: 'openai',
    mode: 'legacy',
    match: 'organization/costs',
    unit: 'usd',
    row: (value, currency) => ({
      object: 'organization.costs.result',
      amount: { value, currency },
      line_item: `row ${value} ${currency}`,
      project_id: null,
      api_key_id: null,
    }),
  },
]

describe.skipIf(!has_simulator).each(EXTRA)(
  'amounts of $provider $match',
  ({ provider, mode, match, row, unit }) => {
    test('are exact to the last digit, and other currencies stay out', async () => {
      const stream = { provider, mode, match, stream: 'cost', needed: [], spare: [] }
      const setting = await start(stream)
      await sync(setting)
      const total = async () =>
        (
          await ourFigures(setting.outlay, setting.simulator, 'provider', { providers: [provider] })
        ).get(provider)?.cost ?? 0n
      const before = await total()
      const scale = unit === 'cents' ? 1n : 100n
      const rows = [
        row('1e-7', 'USD'),
        row('0.123456789012345678901234567890', 'usd'),
        row('-2.5', 'USD'),
        row('41280.000000', 'USD'),
        row('0', 'USD'),
        row(0.0000125, 'USD'),
        row('1000', 'EUR'),
        row('1e400', 'USD'),
        row('not a number', 'USD'),
      ]
      // In nano-dollars if the amounts are cents: 1, 1234567.89…, and so on.
      const added =
        unit === 'cents'
          ? 1n + 1_234_568n - 25_000_000n + 412_800_000_000n + 125n
          : 100n + 123_456_789n - 2_500_000_000n + 41_280_000_000_000n + 12_500n
      expect(scale).toBeGreaterThan(0n)
      await fault(setting, 'extra_rows', { rows, times: firstRead(stream) })
      expect(await sync(setting)).toEqual([])
      expect((await total()) - before).toBe(added)
      const { clock, app } = setting.outlay
      const { notes } = await answerSpend(app.db, {
        period: resolvePeriod({ from: '2026-11-01' }, clock.now(), 'UTC'),
        group_by: [],
        filter: {},
        basis: 'billed',
        compare: false,
        limit: 1,
        now: clock.now(),
      })
      expect(notes).toContain('1 cost rows are not in USD and not included.')
      expect((await status(setting)).problems.join()).toMatch(
        /2 rows of \w+ cost could not be read/,
      )
      await expectRecovery(setting)
    })
  },
)

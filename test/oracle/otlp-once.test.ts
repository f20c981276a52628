import { sql } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fixedClock, MINUTE_MS } from '../../src/clock.ts'
import { rebuildEntries } from '../../src/ledger/rebuild.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import { createBook } from '../../src/otlp/book.ts'
import { resolvePeriod } from '../../src/period.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'
import { has_fixtures, readCapture } from './otlp-json.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')
const catalog = loadCatalog()

async function openBook() {
  const store = await openStore({ path: ':memory:', driver: 'better-sqlite3', now: NOW })
  onTestFinished(() => store.close())
  const { db } = store
  const clock = fixedClock(NOW)
  const book = createBook({ db, clock, catalog: async () => catalog })
  return {
    db,
    clock,
    async post(...names: string[]) {
      for (const name of names)
        expect(await book(readCapture(name), { received_at: clock.now(), token: null })).toEqual({
          rejected: 0,
          message: '',
        })
    },
    spend: (group_by: ('client' | 'session' | 'model')[] = []) =>
      answerSpend(db, {
        period: resolvePeriod({ from: '2026-08-01', to: '2026-12-01' }, clock.now(), 'UTC'),
        group_by,
        filter: {},
        basis: 'best',
        compare: false,
        limit: 20,
        now: clock.now(),
      }),
  }
}

/** Every order of the names, each posted twice in it. */
function orders(names: readonly string[]): string[][] {
  if (names.length < 2) return [[...names]]
  return names.flatMap((name) =>
    orders(names.filter((other) => other !== name)).map((rest) => [name, ...rest]),
  )
}

describe.skipIf(!has_fixtures)('captured telemetry counts once', () => {
  const claude_logs = 'claude-code-logs.synthetic.json'
  const deltas = [1, 2].map((n) => `claude-code-metrics-delta-${n}.synthetic.json`)
  const cumulatives = [1, 2].map((n) => `claude-code-metrics-cumulative-${n}.synthetic.json`)
  const claude_total = {
    cost_usd: '0.026211000',
    input_tokens: 819 + 38_100 + 2_100,
    cached_input_tokens: 38_100,
    cache_write_tokens: 2_100,
    output_tokens: 415,
    unpriced_requests: 0,
  }

  test.each(orders([claude_logs, ...deltas, ...cumulatives]).filter((_, i) => i % 7 === 0))(
    'Claude Code: %s, %s, %s, %s, %s',
    async (...names) => {
      const { post, spend, clock } = await openBook()
      await post(...names, ...names)
      clock.set(NOW + 4 * MINUTE_MS)
      const { total, superseded_usd } = await spend()
      expect(total).toEqual({ ...claude_total, requests: 3 })
      expect(superseded_usd).toBe('0.026211000')
    },
  )

  test.each([
    ['delta', deltas],
    ['cumulative', cumulatives],
    ['cumulative, newest first', cumulatives.toReversed()],
    ['both', [...deltas, ...cumulatives]],
  ])('Claude Code: %s metrics alone, after the grace', async (_, names) => {
    const { post, spend, clock } = await openBook()
    await post(...names, ...names)
    expect((await spend()).total.cost_usd).toBe('0.000000000')
    clock.set(NOW + 3 * MINUTE_MS)
    expect((await spend()).total).toEqual({ ...claude_total, requests: undefined })
    await post(claude_logs)
    expect((await spend()).total).toEqual({ ...claude_total, requests: 3 })
  })

  test.each(orders(['codex-logs.json', 'codex-metrics.json', 'codex-spans.json']))(
    'Codex: %s, %s, %s',
    async (...names) => {
      const { post, spend, clock } = await openBook()
      await post(...names, ...names)
      clock.set(NOW + 4 * MINUTE_MS)
      const { total } = await spend()
      expect(total).toMatchObject({ requests: 1, input_tokens: 12_345, output_tokens: 678 })
    },
  )

  test.each([['codex-spans.json'], ['codex-metrics.json']])('Codex: %s alone', async (name) => {
    const { post, spend, clock } = await openBook()
    await post(name, name)
    clock.set(NOW + 4 * MINUTE_MS)
    const { total } = await spend()
    expect(total).toMatchObject({
      input_tokens: 12_345,
      cached_input_tokens: 10_000,
      output_tokens: 678,
    })
    expect(total.cost_usd).not.toBe('0.000000000')
  })

  test.each(orders(['gemini-logs.json', 'gemini-metrics.json', 'gemini-spans.json']))(
    'Gemini CLI: %s, %s, %s',
    async (...names) => {
      const { post, spend, clock, db } = await openBook()
      await post(...names, ...names)
      clock.set(NOW + 4 * MINUTE_MS)
      const { total } = await spend()
      expect(total).toMatchObject({
        requests: 1,
        input_tokens: 2_000,
        cached_input_tokens: 1_500,
        output_tokens: 150,
      })
      expect(await dump(db)).not.toMatch(/SECRET PROMPT TEXT|system_instructions|non-interactive/)
    },
  )

  test('Gemini CLI: metrics alone equal the log, by client and session too', async () => {
    const logs = await openBook()
    await logs.post('gemini-logs.json')
    const metrics = await openBook()
    await metrics.post('gemini-metrics.json', 'gemini-metrics.json')
    metrics.clock.set(NOW + 4 * MINUTE_MS)
    const { requests: _, ...told } = (await logs.spend()).total
    expect((await metrics.spend()).total).toMatchObject(told)
    const [row] = (await metrics.spend(['client', 'session'])).rows
    expect(row).toMatchObject({
      client: 'gemini-cli',
      session: 'e5b46269-8856-4bb7-a1d8-63616da602dc',
      cost_usd: told.cost_usd,
    })
  })

  test('the projections are rebuilt from the facts to the same bytes', async () => {
    const { post, db } = await openBook()
    await post(claude_logs, ...deltas, 'codex-metrics.json', 'codex-spans.json')
    await post('codex-logs-toolturn.decoded.json', 'gemini-metrics.json', 'codex-logs.json')
    const before = await dump(db)
    await rebuildEntries(db, catalog)
    expect(await dump(db)).toBe(before)
  })
})

type Db = Awaited<ReturnType<typeof openBook>>['db']

/** Every row of every table that telemetry can reach. */
async function dump(db: Db): Promise<string> {
  const tables = ['ledger_entry', 'telling', 'rollup_entry', 'metric_series', 'fallback_entry']
  const rows = [
    ...tables.map((table) => sql`select * from ${sql.table(table)} order by 1, 2, 3, 4`),
    sql`select cell.*, part.*, 0 as id, 0 as cell_id from rollup_session cell
      join rollup_session_quarter part on cell_id = id
      order by session_id, client, provider, model, quarter`,
  ]
  const all = []
  for (const query of rows) all.push((await query.execute(db)).rows)
  return JSON.stringify(all, (_, value) => (typeof value === 'bigint' ? String(value) : value))
}

import { sql } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fixedClock } from '../../src/clock.ts'
import { createBook } from '../../src/otlp/book.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'
import { has_fixtures, readCapture } from './otlp-json.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')

async function openBook() {
  const store = await openStore({ path: ':memory:', driver: 'better-sqlite3', now: NOW })
  onTestFinished(() => store.close())
  const catalog = loadCatalog()
  const book = createBook({
    db: store.db,
    clock: fixedClock(NOW),
    catalog: async () => catalog,
  })
  return {
    db: store.db,
    book: (name: string) => book(readCapture(name), { received_at: NOW, token: null }),
    async entries() {
      const { rows } = await sql<Record<string, string | number | null>>`
        select client, provider, model, session_id, uncached_input_tokens as uncached,
          cache_read_tokens as cached, cache_write_5m_tokens as written, output_tokens as output,
          reasoning_tokens as reasoning, cast(cost_nanos as text) as cost, occurred_at
        from ledger_entry order by occurred_at, id`.execute(store.db)
      return rows
    },
  }
}

describe.skipIf(!has_fixtures)('captured log events, posted twice', () => {
  test('Claude Code: three requests at the cost that it reports', async () => {
    const { book, entries } = await openBook()
    for (let i = 0; i < 2; i++)
      expect(await book('claude-code-logs.synthetic.json')).toEqual({ rejected: 0, message: '' })
    const rows = await entries()
    expect(rows.map(({ cost }) => cost)).toEqual(['18411000', '900000', '6900000'])
    const sum = (name: string) => rows.reduce((total, row) => total + Number(row[name]), 0)
    expect(['uncached', 'output', 'cached', 'written'].map(sum)).toEqual([819, 415, 38_100, 2_100])
    expect(rows[0]?.['session_id']).toBe('5d0c2b1e-0000-4000-8000-000000000001')
  })

  test('Codex: one request; null body, empty trace id and counts as text', async () => {
    const { book, entries } = await openBook()
    for (let i = 0; i < 2; i++) await book('codex-logs.json')
    expect(await entries()).toMatchObject([
      {
        client: 'codex',
        provider: 'openai',
        uncached: 2_345,
        cached: 10_000,
        output: 678,
        reasoning: 512,
        session_id: '01a20b82-0931-73d1-b497-bcd2b5b057b9',
        occurred_at: Date.parse('2026-11-24T03:03:21.287Z'),
      },
    ])
  })

  test('Codex: a turn with a tool call is two requests', async () => {
    const { book, entries } = await openBook()
    for (let i = 0; i < 2; i++) await book('codex-logs-toolturn.decoded.json')
    const rows = await entries()
    expect(rows.map(({ uncached, cached }) => [uncached, cached])).toEqual([
      [2_345, 10_000],
      [2_345, 10_000],
    ])
  })

  test('Gemini CLI: one request, its twin not, and nothing of what was said', async () => {
    const { book, entries, db } = await openBook()
    for (let i = 0; i < 2; i++) await book('gemini-logs.json')
    expect(await entries()).toMatchObject([
      { client: 'gemini-cli', provider: 'google', uncached: 500, cached: 1_500, output: 150 },
    ])
    const { rows } = await sql`select * from ledger_entry`.execute(db)
    const stored = JSON.stringify(rows, (_, value) =>
      typeof value === 'bigint' ? String(value) : value,
    )
    expect(stored).not.toMatch(/SECRET PROMPT TEXT|system_instructions|non-interactive/)
  })
})

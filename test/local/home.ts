import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { sql } from 'kysely'
import { onTestFinished } from 'vitest'
import { sumSpend } from '../../src/ledger/spend.ts'
import { noSums } from '../../src/ledger/sums.ts'
import type { ImportDeps } from '../../src/local/book.ts'
import { type ImportResult, importClient } from '../../src/local/import.ts'
import { localClients } from '../../src/local/index.ts'
import { resolvePeriod } from '../../src/period.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'
import type { Db } from '../../src/store/schema.ts'

export const NOW = Date.parse('2026-11-24T10:00:00Z')
export const CATALOG = loadCatalog()

export type Home = {
  readonly home: string
  readonly store_path: string
  readonly db: Db
  readonly deps: ImportDeps
  write(path: string, text: string | Buffer): string
  append(path: string, text: string): void
  remove(path: string): void
  import(given?: Partial<ImportDeps>): Promise<ImportResult[]>
}

/** A home folder with a store beside it, both gone after the test. */
export async function openHome(): Promise<Home> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-home-'))
  const store_path = join(home, 'outlay', 'outlay.db')
  const store = await openStore({ path: store_path, driver: 'better-sqlite3', now: NOW })
  onTestFinished(async () => {
    await store.close()
    rmSync(home, { recursive: true, force: true })
  })
  const deps: ImportDeps = {
    db: store.db,
    catalog: CATALOG,
    env: { HOME: home },
    project_names: 'name',
    billingMode: () => 'api',
    now: () => NOW,
    wallNow: () => NOW,
    signal: new AbortController().signal,
  }
  const at = (path: string) => {
    const full = join(home, path)
    mkdirSync(dirname(full), { recursive: true })
    return full
  }
  return {
    home,
    store_path,
    db: store.db,
    deps,
    write(path, text) {
      writeFileSync(at(path), text)
      return at(path)
    },
    append: (path, text) => appendFileSync(at(path), text),
    remove: (path) => rmSync(at(path)),
    async import(given = {}) {
      const results: ImportResult[] = []
      for (const client of localClients)
        results.push(await importClient({ ...deps, ...given }, client))
      return results
    },
  }
}

/** What the program would say that all of it cost, through its own query. */
export async function totalsOf(db: Db) {
  const period = resolvePeriod({ from: '2025-01-01', to: '2027-01-01' }, NOW, 'UTC')
  const { groups } = await sumSpend(db, { period, group_by: [], filter: {}, basis: 'best' })
  const [group] = [...groups.values()]
  const sums = group?.sums ?? noSums()
  return {
    requests: sums.requests,
    input: sums.input_tokens,
    cached: sums.cached_input_tokens,
    written: sums.cache_write_tokens,
    output: sums.output_tokens,
    cost: sums.metered_nanos,
    unpriced: sums.unpriced_requests,
  }
}

export async function countRows(db: Db, table: string): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*) as n from ${sql.table(table)}`.execute(
    db,
  )
  return rows[0]?.n ?? 0
}

type Given = Readonly<Record<string, unknown>>

export const CLAUDE = '.claude/projects/-home-ada-shop/s1.jsonl'

/** A line of a Claude Code transcript. */
export function claudeLine(
  id: string,
  usage: Given,
  more: Given = {},
  message: Given = {},
): string {
  return `${JSON.stringify({
    type: 'assistant',
    timestamp: '2026-11-20T10:00:01.000Z',
    sessionId: 's1',
    uuid: `u-${id}`,
    requestId: `req_${id}`,
    cwd: '/home/ada/shop',
    isSidechain: false,
    message: {
      id: `msg_${id}`,
      role: 'assistant',
      model: 'claude-sonnet-4-5-20250929',
      content: [],
      usage,
      ...message,
    },
    ...more,
  })}\n`
}

/** The first line of a rollout. */
export function codexMeta(id: string, more: Given = {}, at = '2026-11-20T10:00:00.000Z'): string {
  const payload = { id, timestamp: at, cwd: '/home/ada/shop', source: 'cli', ...more }
  const context = { cwd: '/home/ada/shop', model: 'gpt-5' }
  return `${JSON.stringify({ timestamp: at, type: 'session_meta', payload })}\n${JSON.stringify({ timestamp: at, type: 'turn_context', payload: context })}\n`
}

/** Input, cached, output, reasoning. */
type Counts = readonly [number, number, number, number]

export function codexCount(at: string, total: Counts, last: Counts | null): string {
  const info = {
    total_token_usage: usageOf(total),
    ...(last && { last_token_usage: usageOf(last) }),
  }
  const payload = { type: 'token_count', info, rate_limits: null }
  return `${JSON.stringify({ timestamp: at, type: 'event_msg', payload })}\n`
}

function usageOf([input_tokens, cached_input_tokens, output_tokens, reasoning]: Counts) {
  return {
    input_tokens,
    cached_input_tokens,
    output_tokens,
    reasoning_output_tokens: reasoning,
    total_tokens: input_tokens + output_tokens,
  }
}

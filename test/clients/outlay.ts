import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { onTestFinished } from 'vitest'
import { HOUR_MS } from '../../src/clock.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import { resolvePeriod } from '../../src/period.ts'
import { openStore } from '../../src/store/open.ts'
import {
  freePort,
  makeHome,
  programEnv,
  runProgram,
  startServe,
  stopProgram,
} from '../helpers/program.ts'
import { type Bill, REAL_KEYS, type Upstream } from '../oracle/upstream.ts'

const WAIT_MS = 20_000

/** The program as people run it: `outlay serve` with a port, a folder and upstreams of its own. */
export async function startOutlay({ base_urls }: Upstream) {
  const { home, remove } = makeHome()
  const env = programEnv(home, {
    OUTLAY_PORT: String(await freePort()),
    OUTLAY_OPENAI_BASE_URL: base_urls['openai'] ?? '',
    OUTLAY_GOOGLE_BASE_URL: base_urls['google'] ?? '',
  })
  const { child } = await startServe(env)
  const path = join(home, 'outlay', 'outlay.db')
  const { db, close } = await openStore({ path, driver: 'better-sqlite3', now: Date.now() })
  onTestFinished(async () => {
    await close()
    await stopProgram(child)
    remove()
  })

  /** What `get_spend` answers, in an hour: whatever waits for a grace is over by then. */
  function askSpend() {
    const now = Date.now() + HOUR_MS
    const period = resolvePeriod({ period: 'last_24h' }, now, 'UTC')
    const query = { group_by: [], filter: {}, basis: 'best', compare: false, limit: 20 } as const
    return answerSpend(db, { ...query, period, now })
  }

  return {
    client_home: home,
    askSpend,
    printLines: async (client: string) => (await runProgram(['env', client], env)).stdout,
    async makeKey(provider: 'openai' | 'google'): Promise<string> {
      await runProgram(['connect', provider, '--kind', 'inference'], env, REAL_KEYS[provider])
      const args = ['keys', 'create', 'ci', '--json', '--providers', provider]
      return JSON.parse((await runProgram(args, env)).stdout).key
    },
    /** Reads the session logs that the client has left in its home folder. */
    importLogs: async () => (await runProgram(['import', 'all'], env)).code,
    /** Entries with usage, once there are so many of a source, or after some time. */
    async waitForEntries(source: Entry['source'], count: number): Promise<Entry[]> {
      for (const until = Date.now() + WAIT_MS; ; ) {
        await askSpend()
        const entries = await listEntries(db)
        const has_come = entries.filter((one) => one.source === source).length >= count
        if (has_come || Date.now() > until) return entries
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
    },
    /** Every byte that Outlay keeps. */
    readFiles: () =>
      readdirSync(join(home, 'outlay'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
        .join('\n'),
  }
}

export type Entry = {
  readonly source: 'otlp' | 'proxy' | 'local_log'
  readonly signal: 'logs' | 'spans' | null
  readonly client: string
  readonly model: string
  readonly session_id: string | null
  readonly superseded_by: string | null
  readonly unpriced_reason: string | null
  /** In the simulator's words. */
  readonly bill: Bill
}

type Db = Awaited<ReturnType<typeof openStore>>['db']

async function listEntries(db: Db): Promise<Entry[]> {
  const { rows } = await sql<Omit<Entry, 'bill'> & Bill>`
    select source, signal, client, model, session_id, superseded_by, unpriced_reason,
      uncached_input_tokens as uncached, cache_read_tokens as read,
      cache_write_5m_tokens as written, output_tokens as output, reasoning_tokens as reasoning
    from ledger_entry where uncached_input_tokens + output_tokens > 0`.execute(db)
  return rows.map(
    ({ uncached = 0, read = 0, written = 0, output = 0, reasoning = 0, ...entry }) => ({
      ...entry,
      bill: {
        input_uncached_text: uncached,
        input_cache_read: read,
        input_cache_write_5m: written,
        output_text: output - reasoning,
        output_reasoning: reasoning,
      },
    }),
  )
}

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, InMemoryTransport } from '@modelcontextprotocol/client'
import { type App, openApp } from '../../src/app.ts'
import { DAY_MS, fixedClock, floorTo, HOUR_MS } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import type { CostBucket, UsageBucket } from '../../src/ledger/bucket.ts'
import { saveNames } from '../../src/ledger/directory.ts'
import { refreshStaleDays } from '../../src/ledger/stale-day.ts'
import { replaceWindow } from '../../src/ledger/window.ts'
import { silentLog } from '../../src/log.ts'
import { createMcpServer } from '../../src/server.ts'
import { NO_USAGE } from '../../src/usage.ts'
import { type BenchOptions, type Figure, median, timeRuns } from './bench.ts'

const NOW = Date.parse('2026-11-20T15:30:00Z')
const TODAY = floorTo(NOW, DAY_MS)
const TARGET_MS = 20
const MODELS = ['gpt-5.4', 'gpt-5.4-mini', 'gpt-5.4-nano', 'gpt-5', 'gpt-5-mini', 'gpt-4.1']
const COMPONENTS = ['uncached_input_tokens', 'output_tokens'] as const

type Size = { readonly keys: number; readonly days: number; readonly runs: number }

/**
 * Questions through the real server and a real client, from a store that the ledger itself has written:
 * hourly usage and daily costs of every key. The figure is the median of the whole answer, wall time.
 */
export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  const size = is_smoke ? { keys: 5, days: 3, runs: 1 } : { keys: 1_000, days: 90, runs: 31 }
  const home = mkdtempSync(join(tmpdir(), 'outlay-bench-'))
  const app = await openBenchApp(home)
  try {
    const built = await fill(app, size)
    const client = await connect(app)
    const figures = await ask(client, size)
    await client.close()
    const bytes = statSync(app.store_path).size
    const note = `${built.rows} bucket rows, ${(bytes / 1e6).toFixed(0)} MB, ${app.store_driver}`
    return [
      ...figures,
      {
        name: 'written by the ledger',
        value: built.rows / (built.cpu_ms / 1000),
        unit: 'rows/s CPU',
        note,
      },
    ]
  } finally {
    await app.close()
    rmSync(home, { recursive: true, force: true })
  }
}

async function ask(client: Client, { days, runs }: Size): Promise<Figure[]> {
  const date = (at: number) => new Date(at).toISOString().slice(0, 10)
  const period = { from: date(TODAY - (days - 1) * DAY_MS), to: date(TODAY + DAY_MS) }
  const questions: Readonly<Record<string, { args: object; is_promised?: boolean }>> = {
    'by model': { args: { group_by: ['model'] }, is_promised: true },
    'by model, compared': { args: { group_by: ['model'], compare: true } },
    'by day and model': { args: { group_by: ['day', 'model'], limit: 100 } },
    'by provider_key': { args: { group_by: ['provider_key'] } },
    'by model of one key': { args: { group_by: ['model'], filter: { provider_key: 'service 3' } } },
    'by key of one model': { args: { group_by: ['provider_key'], filter: { model: 'gpt-5.4' } } },
  }
  const figures: Figure[] = []
  for (const [name, { args, is_promised }] of Object.entries(questions)) {
    const times = await timeRuns(runs, () => call(client, { ...period, ...args }))
    const note = `best ${Math.min(...times).toFixed(1)} ms of ${runs}`
    const promise = is_promised ? ({ target: TARGET_MS, bound: 'at_most' } as const) : {}
    figures.push({ name, value: median(times), unit: 'ms', ...promise, note })
  }
  return figures
}

async function call(client: Client, args: Record<string, unknown>): Promise<void> {
  const result = await client.callTool({ name: 'get_spend', arguments: args })
  const rows = (result.structuredContent as { rows?: unknown[] } | undefined)?.rows ?? []
  if (result.isError || rows.length === 0) throw new Error(JSON.stringify(result).slice(0, 500))
}

async function connect(app: App): Promise<Client> {
  const server = createMcpServer({
    open: async () => app,
    log: silentLog,
    can_write: true,
    actor: 'bench',
  })
  const client = new Client({ name: 'bench', version: '1' })
  const [near, far] = InMemoryTransport.createLinkedPair()
  await Promise.all([server.connect(far), client.connect(near)])
  return client
}

function openBenchApp(home: string): Promise<App> {
  const config = parseConfig({ OUTLAY_HOME: home, OUTLAY_TIMEZONE: 'UTC' }, [])
  const clock = fixedClock(NOW)
  const holder = {
    id: 'bench',
    pid: process.pid,
    hostname: 'bench',
    isAlive: () => false,
    wallNow: clock.wallNow,
  }
  return openApp(config, { clock, log: silentLog, versions: process.versions, holder })
}

const CONNECTION = 'con_bench'

async function fill(app: App, { keys, days }: Size): Promise<{ rows: number; cpu_ms: number }> {
  const first = TODAY - (days - 1) * DAY_MS
  await insertConnection(app)
  const names = Array.from({ length: keys }, (_, i) => ({
    kind: 'api_key' as const,
    id: keyOf(i),
    name: `service ${i}`,
  }))
  await saveNames(app.db, CONNECTION, names, NOW)
  const catalog = await app.catalog()
  const start = process.cpuUsage()
  let rows = 0
  for (let day = first; day <= TODAY; day += DAY_MS) {
    const shared = {
      provider: 'openai',
      range: { start: day, end: day + DAY_MS },
      assistant: [],
      malformed: [],
      observed_at: NOW,
    }
    const usage = usageOf(day, keys)
    const cost = costOf(day, keys)
    await app.db.transaction().execute(async (trx) => {
      const streams = [
        { ...shared, stream_id: 1, grouping: 'usage', bucket_ms: HOUR_MS, usage, cost: [] },
        { ...shared, stream_id: 2, grouping: 'cost', bucket_ms: DAY_MS, usage: [], cost },
      ]
      for (const window of streams) await replaceWindow(trx, catalog, window)
      await refreshStaleDays(trx)
    })
    rows += usage.length + cost.length
  }
  const { user, system } = process.cpuUsage(start)
  const progress = { watermark: NOW, covered_from: first, succeeded_at: NOW }
  await app.db.updateTable('sync_stream').set(progress).execute()
  return { rows, cpu_ms: (user + system) / 1000 }
}

async function insertConnection({ db }: App): Promise<void> {
  await db
    .insertInto('connection')
    .values({
      id: CONNECTION,
      provider: 'openai',
      name: 'bench',
      origin: 'environment',
      fingerprint: 'bench',
      created_at: NOW,
      updated_at: NOW,
    })
    .execute()
  const shared = { connection_id: CONNECTION, settle_ms: 0 }
  await db
    .insertInto('sync_stream')
    .values([
      { id: 1, stream: 'usage.completions', view: 'usage', ...shared },
      { id: 2, stream: 'cost', view: 'cost', ...shared },
    ])
    .execute()
}

/** A row an hour and key; each key uses two models in turn. */
function usageOf(day: number, keys: number): UsageBucket[] {
  return Array.from({ length: 24 * keys }, (_, i) => {
    const hour = Math.floor(i / keys)
    const requests = 1 + ((i * 31 + day / DAY_MS) % 89)
    return {
      bucket_start: day + hour * HOUR_MS,
      dims: dimsOf(i % keys, hour % 2),
      usage: {
        ...NO_USAGE,
        uncached_input_tokens: requests * 700,
        cache_read_tokens: requests * 900,
        output_tokens: requests * 150,
        requests,
      },
    }
  })
}

function costOf(day: number, keys: number): CostBucket[] {
  return Array.from({ length: keys * 4 }, (_, i) => ({
    bucket_start: day,
    dims: { ...dimsOf(i >> 2, i & 1), component: COMPONENTS[(i >> 1) & 1] ?? 'other' },
    amount_nanos: BigInt(1_000_000 + i * 977),
    list_nanos: null,
    currency: 'usd',
    raw_amount: '0',
  }))
}

function dimsOf(key: number, turn: number) {
  const model = MODELS[(key + turn) % MODELS.length] ?? ''
  return { model, api_key: keyOf(key), workspace: `proj_${key % 20}`, service_tier: 'standard' }
}

function keyOf(i: number): string {
  return `key_${i.toString(36).padStart(24, '0')}`
}

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { DAY_MS, floorTo } from '../../src/clock.ts'
import { has_simulator, startSimulator } from '../oracle/sim.ts'
import { type BenchOptions, type Figure, findProgram, median } from './bench.ts'

const NOW = Date.parse('2026-11-20T15:30:00Z')
const ROWS_PER_SECOND = 20_000
const RSS_BYTES_MAX = 200_000_000

type Source = {
  readonly name: string
  readonly days: number
  readonly env: Readonly<Record<string, string>>
  close(): void
}

/** What one `outlay sync` into an empty store took. */
type Drain = {
  readonly rows: number
  /** User and system time of the whole process, its start and the collector's threads included. */
  readonly cpu_ms: number
  /** Time in which its event loop did not wait. */
  readonly busy_ms: number
  readonly wall_ms: number
  readonly rss_bytes_max: number
}

/** Fills an empty store from a provider in another process: our own generator, and the simulator where it stands. */
export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  const sources: (() => Promise<Source>)[] = is_smoke
    ? [() => startFake(5, 2)]
    : [() => startFake(100, 28), () => startFake(1_000, 3)]
  if (has_simulator && !is_smoke) sources.push(startSim)
  const runs = is_smoke ? 1 : 3
  const empty = await drainAll(await startFake(0, 1), runs)
  const empty_cpu_ms = median(empty.map(({ cpu_ms }) => cpu_ms))
  const figures: Figure[] = []
  for (const start of sources) figures.push(...(await measure(await start(), empty_cpu_ms, runs)))
  return figures
}

async function drainAll(source: Source, runs: number): Promise<Drain[]> {
  const drains: Drain[] = []
  try {
    for (let i = 0; i < runs; i++) drains.push(await drain(source))
  } finally {
    source.close()
  }
  return drains
}

/**
 * The provider's time is taken off by counting only what `outlay sync` itself did: its CPU time, since
 * the provider is another process. Processing leaves out what a sync without a single row takes, too.
 * Busy time, in which the event loop did not wait, has our waits for the disk in it as well, but on a
 * busy machine also the time in which others had the processor.
 */
async function measure(source: Source, empty_cpu_ms: number, runs: number): Promise<Figure[]> {
  const drains = await drainAll(source, runs)
  const [first] = drains
  if (!first || first.rows === 0) throw new Error(`${source.name}: no rows`)
  const rate = (ms: (one: Drain) => number) =>
    median(drains.map((one) => one.rows / (ms(one) / 1000)))
  const wall = (median(drains.map(({ wall_ms }) => wall_ms)) / 1000).toFixed(1)
  return [
    {
      name: `${source.name}: processing`,
      value: rate(({ cpu_ms }) => cpu_ms - empty_cpu_ms),
      unit: 'rows/s',
      target: ROWS_PER_SECOND,
      bound: 'at_least',
      note: `${first.rows} rows by CPU time; ${wall} s in all with the provider's time`,
    },
    {
      name: `${source.name}: whole process`,
      value: rate(({ cpu_ms }) => cpu_ms),
      unit: 'rows/s',
      note: `with ${(empty_cpu_ms / 1000).toFixed(1)} s of an empty sync`,
    },
    {
      name: `${source.name}: by busy time`,
      value: rate(({ busy_ms }) => busy_ms),
      unit: 'rows/s',
    },
    {
      name: `${source.name}: memory`,
      value: Math.max(...drains.map(({ rss_bytes_max }) => rss_bytes_max)) / 1e6,
      unit: 'MB RSS',
      target: RSS_BYTES_MAX / 1e6,
      bound: 'at_most',
    },
  ]
}

async function drain({ days, env }: Source): Promise<Drain> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-bench-'))
  const since = floorTo(NOW, DAY_MS) - days * DAY_MS
  const usage_file = join(home, 'usage.json')
  const probe = join(import.meta.dirname, 'usage-probe.mjs')
  const program = [
    findProgram().path,
    'sync',
    '--since',
    new Date(since).toISOString().slice(0, 10),
  ]
  const child = spawn(process.execPath, ['--import', probe, ...program], {
    env: {
      PATH: process.env['PATH'],
      BENCH_USAGE_FILE: usage_file,
      OUTLAY_HOME: home,
      OUTLAY_NOW: new Date(NOW).toISOString(),
      OUTLAY_TIMEZONE: 'UTC',
      OUTLAY_SIDE_PORT: 'off',
      ...env,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    const code = await new Promise((resolve) => child.once('exit', resolve))
    if (code !== 0) throw new Error(`outlay sync ended with ${code}`)
    const usage = JSON.parse(readFileSync(usage_file, 'utf8')) as Omit<Drain, 'rows'>
    return { ...usage, rows: countRows(join(home, 'outlay.db')) }
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

function countRows(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true })
  const row = database.prepare('select sum(rows_read) as count from sync_stream').get()
  database.close()
  return Number(row?.['count'])
}

async function startFake(keys: number, days: number): Promise<Source> {
  const child: ChildProcess = spawn(
    process.execPath,
    [join(import.meta.dirname, 'provider-fake.ts'), '--keys', `${keys}`, '--now', `${NOW}`],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the fake provider ended')))
    if (child.stdout)
      createInterface({ input: child.stdout }).once('line', (line) =>
        resolve((JSON.parse(line) as { url: string }).url),
      )
  })
  return {
    name: `${keys} keys, ${days} days`,
    days,
    env: { OPENAI_ADMIN_KEY: 'sk-admin-bench', OUTLAY_OPENAI_ADMIN_BASE_URL: url },
    close: () => child.kill('SIGTERM'),
  }
}

async function startSim(): Promise<Source> {
  const days = 95
  const simulator = await startSimulator({ seed: 1, days, mode: 'analytics' }, () => {})
  return {
    name: `simulator, ${days} days`,
    days,
    env: {
      ANTHROPIC_ADMIN_KEY: 'sk-ant-admin01-sim',
      OPENAI_ADMIN_KEY: 'sk-admin-sim',
      OPENROUTER_MANAGEMENT_KEY: 'sk-or-mgmt-sim',
      OUTLAY_ANTHROPIC_ADMIN_BASE_URL: simulator.anthropic,
      OUTLAY_OPENAI_ADMIN_BASE_URL: simulator.openai,
      OUTLAY_OPENROUTER_BASE_URL: simulator.openrouter,
    },
    close: () => simulator.close(),
  }
}

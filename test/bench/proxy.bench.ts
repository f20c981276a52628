import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BenchOptions, type Figure, formatFigures, median, runScript } from './bench.ts'
import { cpuSecondsOf, rssMb } from './process.ts'
import {
  type Place,
  startBare,
  startFarEnd,
  startNginx,
  startOutlay,
  startPortkey,
  type Variant,
} from './proxy-variants.ts'

type Loaded = { rps: number; p50: number; p99: number; failed: number }
type Measured = Loaded & { cpu_us: number; rss_mb: number }
type Kind = 'json' | 'sse' | 'slow' | 'wide'
type Work = {
  readonly is_stream: boolean
  readonly connections: number
  readonly requests: number
  readonly headers: Readonly<Record<string, string>>
}

const ROUNDS = 5
const WORKS: Readonly<Record<Kind, Work>> = {
  json: { is_stream: false, connections: 32, requests: 6_000, headers: {} },
  sse: { is_stream: true, connections: 32, requests: 600, headers: {} },
  slow: {
    is_stream: false,
    connections: 32,
    requests: 3_000,
    headers: { 'x-delay-ms': '20' },
  },
  wide: {
    is_stream: true,
    connections: 256,
    requests: 1_024,
    headers: { 'x-delay-ms': '20', 'x-chunk-ms': '2' },
  },
}
const WARM_UP = { json: 15_000, sse: 1_500 }
const LONG_REQUESTS = 1_000_000

/**
 * The proxy beside nginx, a bare pass-through and another gateway, in one run on one machine, with
 * budgets and ledger on. CPU time is read from /proc, so that the load's own share is not in it. Rounds
 * go through all of them in turn, so that what else the machine does meets all alike; medians count.
 */
export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  if (!existsSync('/proc/self/stat')) {
    console.warn('skipped: the CPU time of other processes is read from /proc, which is not here')
    return []
  }
  const place: Place = { folder: mkdtempSync(join(tmpdir(), 'outlay-bench-')), children: [] }
  try {
    const scale = is_smoke ? 0.01 : 1
    const direct = await startFarEnd(place)
    const ours = await startOutlay(place, direct.port)
    const others = [
      await startNginx(place, direct.port),
      await startBare(place, direct.port),
      is_smoke ? undefined : await startPortkey(place, direct.port),
    ].filter((one) => one !== undefined)
    const variants = [ours, ...others]
    for (const one of variants) await warmUp(one, scale)
    const measured = await measureInTurn([direct, ...variants], is_smoke ? 1 : ROUNDS, scale)
    return [...figuresOf(measured), ...(await measureLong(ours, LONG_REQUESTS * scale))]
  } finally {
    for (const child of place.children) child.kill('SIGTERM')
    rmSync(place.folder, { recursive: true, force: true })
  }
}

async function warmUp(variant: Variant, scale: number): Promise<void> {
  await load(variant, { ...WORKS.json, requests: WARM_UP.json * scale })
  await load(variant, { ...WORKS.sse, requests: WARM_UP.sse * scale })
}

type Medians = Readonly<Record<Kind, Measured>>

async function measureInTurn(
  variants: readonly Variant[],
  rounds: number,
  scale: number,
): Promise<Map<string, Medians>> {
  const runs = new Map(variants.map(({ name }) => [name, emptyRuns()]))
  for (let round = 0; round < rounds; round++)
    for (const kind of ['json', 'sse', 'slow', 'wide'] as const)
      for (const one of variants) {
        const work = WORKS[kind]
        const figures = await load(one, { ...work, requests: work.requests * scale })
        runs.get(one.name)?.[kind].push(figures)
      }
  return new Map([...runs].map(([name, kinds]) => [name, mediansOf(kinds)]))
}

function emptyRuns(): Record<Kind, Measured[]> {
  return { json: [], sse: [], slow: [], wide: [] }
}

function mediansOf(kinds: Record<Kind, Measured[]>): Medians {
  const of = (runs: readonly Measured[]): Measured => ({
    rps: median(runs.map(({ rps }) => rps)),
    p50: median(runs.map(({ p50 }) => p50)),
    p99: median(runs.map(({ p99 }) => p99)),
    cpu_us: median(runs.map(({ cpu_us }) => cpu_us)),
    rss_mb: Math.max(...runs.map(({ rss_mb }) => rss_mb)),
    failed: runs.reduce((sum, { failed }) => sum + failed, 0),
  })
  return { json: of(kinds.json), sse: of(kinds.sse), slow: of(kinds.slow), wide: of(kinds.wide) }
}

function figuresOf(measured: ReadonlyMap<string, Medians>): Figure[] {
  const ours = measured.get('outlay')
  const direct = measured.get('direct')
  if (!ours || !direct) throw new Error('the proxy was not measured')
  const target = (name: string, kind: Kind, factor: number) => {
    const other = measured.get(name)?.[kind].cpu_us
    const note = `${factor.toFixed(3)} × ${name}`
    return other ? { target: other * factor, bound: 'at_most' as const, note } : {}
  }
  const bare = measured.get('bare')?.json.cpu_us
  const json = { name: 'CPU a JSON request', value: ours.json.cpu_us, unit: 'µs' }
  return [
    { ...json, ...target('nginx', 'json', 3) },
    { ...json, ...target('portkey', 'json', 1 / 13) },
    {
      name: 'CPU a stream of 50',
      value: ours.sse.cpu_us,
      unit: 'µs',
      ...target('nginx', 'sse', 1.5),
    },
    {
      name: 'added p50 at 20 ms',
      value: ours.slow.p50 - direct.slow.p50,
      unit: 'ms',
      target: 0.8,
      bound: 'at_most',
    },
    {
      name: 'added p99 at 20 ms',
      value: ours.slow.p99 - direct.slow.p99,
      unit: 'ms',
      target: 6,
      bound: 'at_most',
    },
    {
      name: 'requests a core and s',
      value: 1e6 / ours.json.cpu_us,
      unit: '1/s',
      target: Math.min(12_000, bare ? 0.5e6 / bare : 12_000),
      bound: 'at_least',
      note: `${Math.round(ours.json.rps)} requests/s came`,
    },
    {
      name: 'RSS at 256 streams',
      value: ours.wide.rss_mb,
      unit: 'MB',
      target: 170,
      bound: 'at_most',
    },
    {
      name: 'failed requests',
      value: ours.json.failed + ours.sse.failed + ours.slow.failed + ours.wide.failed,
      unit: '',
      target: 0,
      bound: 'at_most',
    },
    ...[...measured].filter(([name]) => name !== 'outlay').flatMap(listOther),
  ]

  function listOther([name, other]: [string, Medians]): Figure[] {
    const failed = other.json.failed + other.sse.failed + other.slow.failed + other.wide.failed
    const figures = [
      {
        name: `${name}: CPU a JSON request`,
        value: other.json.cpu_us,
        unit: 'µs',
        note: `${Math.round(other.json.rps)} requests/s, ${failed} failed`,
      },
      { name: `${name}: CPU a stream of 50`, value: other.sse.cpu_us, unit: 'µs' },
    ]
    if (name === 'direct') return figures
    const p99 = other.slow.p99 - (direct?.slow.p99 ?? 0)
    return [
      ...figures,
      {
        name: `${name}: added p50, p99`,
        value: other.slow.p50 - (direct?.slow.p50 ?? 0),
        unit: 'ms',
        note: `p99 ${p99.toFixed(2)} ms`,
      },
      { name: `${name}: RSS at 256 streams`, value: other.wide.rss_mb, unit: 'MB' },
    ]
  }
}

const LONG_STEPS = 10
const GROWTH_MB_MAX = 16

/** Very many requests in steps: what a tenth of them needed is all that the rest may need. */
async function measureLong(variant: Variant, requests: number): Promise<Figure[]> {
  const steps: number[] = []
  for (let step = 0; step < LONG_STEPS; step++) {
    await load(variant, { ...WORKS.json, requests: requests / LONG_STEPS })
    steps.push(rssMb(variant.pid, 'now'))
  }
  const [first = 0] = steps
  return [
    {
      name: 'RSS grown over the rest',
      value: Math.max(0, (steps.at(-1) ?? 0) - first),
      unit: 'MB',
      target: GROWTH_MB_MAX,
      bound: 'at_most',
      note: `${Math.round(requests)} requests: ${steps.map((mb) => Math.round(mb)).join(', ')} MB`,
    },
  ]
}

async function load(variant: Variant, work: Work): Promise<Measured> {
  const requests = Math.max(Math.round(work.requests), work.connections)
  const { port, path, pid } = variant
  const headers = { 'content-type': 'application/json', ...variant.headers, ...work.headers }
  const { connections } = work
  const spec = { port, path, headers, body: bodyOf(work), connections, requests }
  const before = cpuSecondsOf(pid)
  const loaded = await runScript<Loaded>('proxy-load.ts', [JSON.stringify(spec)], {})
  const cpu_us = ((cpuSecondsOf(pid) - before) / requests) * 1e6
  return { ...loaded, cpu_us, rss_mb: rssMb(pid, 'peak') }
}

function bodyOf({ is_stream }: Work): string {
  const messages = [{ role: 'user', content: 'word '.repeat(100) }]
  return JSON.stringify({ model: 'gpt-5.4', max_tokens: 256, messages, stream: is_stream })
}

if (import.meta.main) {
  const is_smoke = process.argv.includes('--smoke')
  console.log(formatFigures(await run({ is_smoke }), { is_smoke }))
}

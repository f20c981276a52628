import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { HOUR_MS } from '../../src/clock.ts'
import { decode, type Encoding } from '../../src/otlp/decode.ts'
import { openStore } from '../../src/store/open.ts'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'
import { jsonTurn, protobufTurn } from '../otlp/codex-turn.ts'
import { exportRequest } from '../otlp/descriptors.ts'
import { type BenchOptions, type Figure, formatFigures, median, runScript } from './bench.ts'
import { cpuSecondsOf, rssMb } from './process.ts'

const BATCH = 512
const PER_CORE_MIN = 60_000
const SHARE_MIN = 0.25
const SPEND_P95_MS_MAX = 50
const RSS_RATIO_MAX = 1.25

/** So many parts are measured, after one that warms up. */
const PARTS = 10

type Sizes = { readonly protobuf_records: number; readonly json_records: number }

/**
 * The receiver as it runs: `outlay serve` in a process of its own, whose CPU time is counted and nobody
 * else's, with real sockets and a store on disk. Durable is what was answered with 200.
 */
export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  return measure(
    is_smoke
      ? { protobuf_records: 20 * BATCH, json_records: 20 * BATCH }
      : { protobuf_records: 2_000_000, json_records: 1_000_000 },
  )
}

async function measure({ protobuf_records, json_records }: Sizes): Promise<Figure[]> {
  return [
    ...(await measureEncoding('protobuf', protobuf_records)),
    ...(await measureEncoding('json', json_records)),
  ]
}

async function measureEncoding(encoding: Encoding, records: number): Promise<Figure[]> {
  const receiver = await startReceiver(encoding)
  try {
    await receiver.send(Math.ceil(records / PARTS))
    const rss_before = rssMb(receiver.pid, 'now')
    const parts: Part[] = []
    for (let i = 0; i < PARTS; i++)
      parts.push({
        received: await sendPart(receiver, Math.ceil(records / PARTS)),
        ...decodedPerCore(encoding),
      })
    const rss_mb = rssMb(receiver.pid, 'now')
    const entries = await receiver.countEntries()
    const spend = await askWhileSending(receiver, Math.ceil(records / 2))
    return [
      ...throughput(encoding, parts, `of ${records} records, ${entries} ledger entries`),
      {
        name: `${encoding}: get_spend under this load, p95`,
        value: percentile(spend.busy, 0.95),
        unit: 'ms',
        target: SPEND_P95_MS_MAX,
        bound: 'at_most',
        note: `median ${median(spend.busy).toFixed(1)} of ${spend.busy.length}; at rest ${median(spend.idle).toFixed(1)}`,
      },
      {
        name: `${encoding}: memory`,
        value: rss_mb / rss_before,
        unit: 'of that after a tenth',
        note: `${rss_mb.toFixed(0)} MB RSS after ${records} records more`,
      },
    ]
  } finally {
    await receiver.close()
  }
}

/** Records per core and second: taken in, and decoded only. */
type Part = { readonly received: number; readonly ours: number; readonly library: number }

/**
 * CPU time goes up when others take the caches and the memory: the best of the parts is nearest to what
 * the work costs. What it is compared with is measured between them.
 */
function throughput(encoding: Encoding, parts: readonly Part[], note: string): Figure[] {
  const best = (name: keyof Part) => Math.max(...parts.map((part) => part[name]))
  const all = parts.map(({ received }) => received)
  const received = best('received')
  return [
    {
      name: `${encoding}: durable records`,
      value: received,
      unit: 'per core and s',
      target: PER_CORE_MIN,
      bound: 'at_least',
      note: `best of ${parts.length} parts, median ${Math.round(median(all))}; ${note}`,
    },
    {
      name: `${encoding}: of bare decoding`,
      value: received / best('library'),
      unit: 'of it',
      target: SHARE_MIN,
      bound: 'at_least',
      note: `${LIBRARY[encoding]} on the same bytes: ${Math.round(best('library'))} per core and s`,
    },
    {
      name: `${encoding}: of our own decoding`,
      value: received / best('ours'),
      unit: 'of it',
      note: `every item whole, without the sieve: ${Math.round(best('ours'))} per core and s`,
    },
  ]
}

async function sendPart({ pid, send }: Receiver, records: number): Promise<number> {
  const before = cpuSecondsOf(pid)
  const acknowledged = await send(records)
  return acknowledged / (cpuSecondsOf(pid) - before)
}

type Receiver = Awaited<ReturnType<typeof startReceiver>>

async function startReceiver(encoding: Encoding) {
  const { home, remove } = makeHome()
  const env = programEnv(home)
  const created = await runProgram(['tokens', 'create', 'bench', '--scopes', 'read', '--json'], env)
  const { token } = JSON.parse(created.stdout) as { token: string }
  const { url, child } = await startServe(env)
  const from_ms = Date.now() - 12 * HOUR_MS
  let batches = 0
  return {
    url,
    token,
    pid: child.pid ?? 0,
    /** Sends batches that were never sent before; gives how many records were acknowledged. */
    async send(records: number): Promise<number> {
      const numbers = [records, BATCH, batches, from_ms].map(String)
      batches += Math.ceil(records / BATCH)
      const args = [`${url}/v1/logs`, encoding, ...numbers]
      return (await runScript<{ acknowledged: number }>('otlp-client.ts', args, {})).acknowledged
    },
    async countEntries(): Promise<number> {
      const path = join(home, 'outlay', 'outlay.db')
      const store = await openStore({ path, driver: 'better-sqlite3', now: Date.now() })
      const { n } = await store.db
        .selectFrom('ledger_entry')
        .select((eb) => eb.fn.countAll<number>().as('n'))
        .executeTakeFirstOrThrow()
      await store.close()
      return n
    },
    async close() {
      await stopProgram(child)
      remove()
    },
  }
}

const PAUSE_MS = 20

/** How long the month by model takes an assistant to ask for, over HTTP, with batches coming in and without. */
async function askWhileSending({ url, token, send }: Receiver, records: number) {
  const client = new Client({ name: 'bench', version: '1' })
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit }))
  const ask = async () => {
    const start = performance.now()
    const result = await client.callTool({ name: 'get_spend', arguments: QUESTION })
    if (result.isError) throw new Error(JSON.stringify(result).slice(0, 500))
    return performance.now() - start
  }
  const idle: number[] = []
  for (let i = 0; i < 10; i++) idle.push(await ask())
  const busy: number[] = []
  let is_sending = true
  const sent = send(records).finally(() => {
    is_sending = false
  })
  while (is_sending) {
    busy.push(await ask())
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
  await sent
  await client.close()
  return { idle, busy }
}

const QUESTION = { period: 'this_month', group_by: ['model'] }

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

const BARE_CPU_S = 0.2
const LIBRARY = { protobuf: "protobufjs's Type.decode", json: 'JSON.parse' }

/** Decoding and nothing else, by what everybody would take and by our own decoder. */
function decodedPerCore(encoding: Encoding): { ours: number; library: number } {
  const build = encoding === 'json' ? jsonTurn : protobufTurn
  const body = build({ records: BATCH, observed_from_ns: 1n })
  const type = exportRequest('logs')
  const parse = { protobuf: () => type.decode(body), json: () => JSON.parse(body.toString()) }
  return {
    ours: recordsPerCore(() => decode('logs', encoding, body)),
    library: recordsPerCore(parse[encoding]),
  }
}

function recordsPerCore(decodeBatch: () => unknown): number {
  let records = 0
  const before = process.cpuUsage()
  while (cpuSeconds(before) < BARE_CPU_S) {
    decodeBatch()
    records += BATCH
  }
  return records / cpuSeconds(before)
}

function cpuSeconds(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

/** The long run: memory after every tenth of so many records, and at the end against the first. */
async function soak(encoding: Encoding, records: number): Promise<Figure> {
  const receiver = await startReceiver(encoding)
  const rss: number[] = []
  const cpu_before = cpuSecondsOf(receiver.pid)
  try {
    for (let part = 1; part <= PARTS; part++) {
      const per_core = await sendPart(receiver, Math.ceil(records / PARTS))
      rss.push(rssMb(receiver.pid, 'now'))
      const sent = Math.round((part * records) / PARTS)
      console.log(
        `${sent.toLocaleString('en-US')} records: ${rss.at(-1)?.toFixed(0)} MB RSS, ${Math.round(per_core)} records per core and s`,
      )
    }
    const entries = await receiver.countEntries()
    const cpu_s = cpuSecondsOf(receiver.pid) - cpu_before
    return {
      name: `${encoding}: memory after ${records} records`,
      value: (rss.at(-1) ?? 0) / (rss[0] ?? 1),
      unit: 'of that after a tenth',
      target: RSS_RATIO_MAX,
      bound: 'at_most',
      note: `${cpu_s.toFixed(0)} CPU s, ${entries} ledger entries, peak ${rssMb(receiver.pid, 'peak').toFixed(0)} MB`,
    }
  } finally {
    await receiver.close()
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      records: { type: 'string', default: '10000000' },
      encoding: { type: 'string', default: 'protobuf' },
    },
  })
  const encoding = values.encoding === 'json' ? 'json' : 'protobuf'
  const figure = await soak(encoding, Number(values.records))
  console.log(formatFigures([figure], { is_smoke: false }))
}

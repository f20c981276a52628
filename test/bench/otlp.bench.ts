import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { getRequestListener } from '@hono/node-server'
import { sql } from 'kysely'
import { systemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { createBookAll } from '../../src/otlp/book.ts'
import { decode, type Encoding } from '../../src/otlp/decode.ts'
import { otlpRoute } from '../../src/otlp/route.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'
import { jsonTurn, protobufTurn } from '../otlp/codex-turn.ts'
import { exportRequest } from '../otlp/descriptors.ts'
import { type BenchOptions, type Figure, formatFigures, runScript } from './bench.ts'

const BATCH = 512
const PER_CORE_MIN = 60_000
const SHARE_MIN = 0.25
const RSS_GROWTH_MB_MAX = 128

/** Of all records that are sent, so many come before memory is looked at for the first time. */
const WARM_UP_SHARE = 0.1

type Sizes = { readonly protobuf_records: number; readonly json_records: number }

/**
 * The receiver as it runs: sockets, decoding, booking, a store on disk. Cost is this process's CPU time,
 * which is what one core could do if nobody else wanted it; the sender is a process of its own.
 */
export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  return measure(
    is_smoke
      ? { protobuf_records: 20 * BATCH, json_records: 20 * BATCH }
      : { protobuf_records: 2_000_000, json_records: 500_000 },
  )
}

async function measure({ protobuf_records, json_records }: Sizes): Promise<Figure[]> {
  return [
    ...(await measureEncoding('protobuf', protobuf_records)),
    ...(await measureEncoding('json', json_records)),
  ]
}

async function measureEncoding(encoding: Encoding, records: number): Promise<Figure[]> {
  const receiver = await openReceiver()
  try {
    const warm_up = Math.ceil(records * WARM_UP_SHARE)
    await send(receiver.url, encoding, { records: warm_up, prefix: 'a' })
    const rss_before = process.memoryUsage().rss
    const cpu_before = process.cpuUsage()
    const acknowledged = await send(receiver.url, encoding, { records, prefix: 'b' })
    const cpu_s = cpuSeconds(cpu_before)
    const growth_mb = (process.memoryUsage().rss - rss_before) / 2 ** 20
    const per_core = acknowledged / cpu_s
    const { ours, library } = decodedPerCore(encoding)
    return [
      {
        name: `${encoding}: durable records`,
        value: per_core,
        unit: 'per core and s',
        target: PER_CORE_MIN,
        bound: 'at_least',
        note: `${acknowledged} in ${cpu_s.toFixed(1)} CPU s; ${await receiver.countEntries()} ledger entries`,
      },
      {
        name: `${encoding}: of bare decoding`,
        value: per_core / library,
        unit: 'of it',
        target: SHARE_MIN,
        bound: 'at_least',
        note: `${LIBRARY[encoding]} on the same bytes: ${Math.round(library)} per core and s; our own decoder: ${Math.round(ours)}`,
      },
      {
        name: `${encoding}: memory growth`,
        value: growth_mb,
        unit: 'MB',
        target: RSS_GROWTH_MB_MAX,
        bound: 'at_most',
        note: `RSS after ${acknowledged} records against after ${warm_up}`,
      },
    ]
  } finally {
    await receiver.close()
  }
}

async function openReceiver() {
  const folder = mkdtempSync(join(tmpdir(), 'outlay-bench-'))
  const clock = systemClock()
  const path = join(folder, 'outlay.db')
  const store = await openStore({ path, driver: 'better-sqlite3', now: clock.now() })
  const catalog = loadCatalog([])
  const bookAll = createBookAll({ db: store.db, clock, catalog: async () => catalog })
  const route = otlpRoute({ clock, log: silentLog, bookAll })
  const server = createServer(getRequestListener((req, env) => route.fetch(req, env)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/logs`,
    async countEntries() {
      const { rows } = await sql<{ n: number }>`select count(*) as n from ledger_entry`.execute(
        store.db,
      )
      return rows[0]?.n ?? 0
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function send(
  url: string,
  encoding: Encoding,
  { records, prefix }: { records: number; prefix: string },
): Promise<number> {
  const args = [url, encoding, String(records), String(BATCH), prefix]
  const { acknowledged } = await runScript<{ acknowledged: number }>('otlp-client.ts', args, {})
  return acknowledged
}

const BARE_CPU_S = 1
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

if (import.meta.main) {
  const { values } = parseArgs({ options: { records: { type: 'string', default: '2000000' } } })
  const protobuf_records = Number(values.records)
  const figures = await measure({ protobuf_records, json_records: protobuf_records / 4 })
  console.log(formatFigures(figures, { is_smoke: false }))
}

import { Pool } from 'undici'

/** node proxy-load.ts '{"url":…,"path":…,"headers":{},"body":…,"connections":32,"requests":1000}' – prints figures. */
type Load = {
  readonly url: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string
  readonly connections: number
  readonly requests: number
}

const load = JSON.parse(process.argv[2] ?? '{}') as Load
const pool = new Pool(load.url, { connections: load.connections, keepAliveTimeout: 60_000 })
const times: number[] = []
let failed = 0
let left = load.requests

async function work(): Promise<void> {
  while (left-- > 0) {
    const start = performance.now()
    const answer = await pool.request({
      path: load.path,
      method: 'POST',
      headers: load.headers,
      body: load.body,
    })
    await answer.body.dump({ limit: 10_000_000 })
    if (answer.statusCode !== 200) failed++
    times.push(performance.now() - start)
  }
}

const start = performance.now()
await Promise.all(Array.from({ length: load.connections }, work))
const seconds = (performance.now() - start) / 1_000
times.sort((a, b) => a - b)
const at = (share: number) => times[Math.floor(times.length * share)] ?? 0
console.log(JSON.stringify({ rps: times.length / seconds, p50: at(0.5), p99: at(0.99), failed }))
await pool.close()

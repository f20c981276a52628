import { openApp } from '../../src/app.ts'
import { fixedClock } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { syncConnections } from '../../src/jobs/sync.ts'
import { silentLog } from '../../src/log.ts'
import { providerEnvs } from '../../src/providers/environment.ts'

/** One forced sync in a fresh process; prints what it took as one line of JSON. Argument: `since`, epoch ms. */
export type Drain = {
  readonly rows: number
  /** User and system time of this process, threads of the garbage collector included. */
  readonly cpu_ms: number
  /** Wall time in which the event loop was not waiting: the provider's own time is not in it. */
  readonly busy_ms: number
  readonly wall_ms: number
  readonly rss_bytes_max: number
}

const config = parseConfig(process.env, providerEnvs)
const clock = fixedClock(config.now ?? 0)
const holder = {
  id: 'bench',
  pid: process.pid,
  hostname: 'bench',
  isAlive: () => false,
  wallNow: clock.wallNow,
}
const app = await openApp(config, { clock, log: silentLog, versions: process.versions, holder })
const start = {
  cpu: process.cpuUsage(),
  loop: performance.eventLoopUtilization(),
  at: performance.now(),
}
const outcomes = await syncConnections(app, {
  since: Number(process.argv[2]),
  is_forced: true,
  is_background: false,
  signal: AbortSignal.timeout(600_000),
})
const { user, system } = process.cpuUsage(start.cpu)
const drain: Drain = {
  rows: outcomes.reduce((sum, { rows }) => sum + rows, 0),
  cpu_ms: (user + system) / 1000,
  busy_ms: performance.eventLoopUtilization(start.loop).active,
  wall_ms: performance.now() - start.at,
  rss_bytes_max: process.resourceUsage().maxRSS * 1024,
}
await app.close()
const problems = outcomes.flatMap(({ failures }) => failures)
if (problems.length > 0) throw new Error(JSON.stringify(problems))
process.stdout.write(`${JSON.stringify(drain)}\n`)

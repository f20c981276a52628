import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { fixedClock } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { silentLog } from '../../src/log.ts'
import { providerEnvs } from '../../src/providers/environment.ts'

export type TestApp = { readonly app: App; readonly clock: ReturnType<typeof fixedClock> }

/** The whole program in this process on a folder of its own, with a clock that the test moves. */
export async function openTestApp(
  now: number,
  env: Readonly<Record<string, string>> = {},
): Promise<TestApp> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-test-'))
  const config = parseConfig({ OUTLAY_HOME: home, OUTLAY_TIMEZONE: 'UTC', ...env }, providerEnvs)
  const clock = fixedClock(now)
  const holder = {
    id: 'test',
    pid: process.pid,
    hostname: 'test',
    isAlive: () => false,
    wallNow: () => Date.now(),
  }
  const host = { clock, log: silentLog, versions: process.versions, holder }
  const app = await openApp(config, host, { timeout_ms: 500, backoff_ms: 1 })
  onTestFinished(async () => {
    await app.close()
    rmSync(home, { recursive: true, force: true })
  })
  return { app, clock }
}

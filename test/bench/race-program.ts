import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { type App, openApp } from '../../src/app.ts'
import { systemClock } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { newId } from '../../src/ids.ts'
import { provideKey } from '../../src/jobs/wrapped-keys.ts'
import { silentLog } from '../../src/log.ts'
import { usdFromNanos } from '../../src/money.ts'
import { providerEnvs } from '../../src/providers/environment.ts'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'

const REAL_KEY = 'sk-real-0123456789abcdefghijklmnopqrstuvwxyz'

/** The real program on a store of its own, and a second process of that store: this one. */
export type RaceProgram = {
  readonly app: App
  /** Changes when the program is started again. */
  readonly url: () => string
  kill(): Promise<void>
  restart(): Promise<void>
  /** A wrapped key whose budget is as large as that, or without one. */
  makeKey(limit_nanos: bigint | null, on_limit?: 'refuse' | 'clamp'): Promise<RaceKey>
  close(): Promise<void>
}

export type RaceKey = { readonly id: string; readonly secret: string }

export async function startRaceProgram(upstream_url: string): Promise<RaceProgram> {
  const { home, remove } = makeHome()
  const env = programEnv(home, { OUTLAY_OPENAI_BASE_URL: upstream_url })
  const connected = await runProgram(['connect', 'openai', '--kind', 'inference'], env, REAL_KEY)
  if (connected.code !== 0) throw new Error(connected.stderr)
  let running: { url: string; child: ChildProcess } = await startServe(env)
  const app = await openOther(env)
  return {
    app,
    url: () => running.url,
    async kill() {
      running.child.kill('SIGKILL')
      if (running.child.exitCode === null) await once(running.child, 'close')
    },
    async restart() {
      running = await startServe(env)
    },
    async makeKey(limit_nanos, on_limit = 'refuse') {
      const budget = limit_nanos === null ? {} : { budget_usd: usdFromNanos(limit_nanos) }
      const asked = { name: newId('race'), on_limit, ...budget }
      const { key, secret } = await provideKey(app, asked, 'inline', 'bench')
      return { id: key.id, secret: secret?.reveal() ?? '' }
    },
    async close() {
      await app.close()
      await stopProgram(running.child)
      remove()
    },
  }
}

function openOther(env: Readonly<Record<string, string>>): Promise<App> {
  const holder = {
    id: newId('own'),
    pid: process.pid,
    hostname: 'race',
    isAlive: () => true,
    wallNow: () => Date.now(),
  }
  const host = { clock: systemClock(), log: silentLog, versions: process.versions, holder }
  return openApp(parseConfig(env, providerEnvs), host)
}

export async function waitUntil(what: string, isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 3_000; i++) {
    if (isTrue()) return
    await delay(10)
  }
  throw new Error(`waited in vain: ${what}`)
}

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { utcDate } from '../../src/clock.ts'
import { random } from '../helpers/random.ts'
import { environmentFor, expectTruth, SECRETS, startOutlay, temporaryHome } from './outlay.ts'
import { has_simulator, type Simulator, startSimulator } from './sim.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const KILLS = 50
const DAYS = 8

type Outcome = {
  readonly code: number | null
  readonly signal: string | null
  readonly text: string
}

/** The real program, started as a person would. */
function startCli(simulator: Simulator, home: string, args: readonly string[], input = '') {
  const env = { PATH: process.env['PATH'] ?? '', ...environmentFor(simulator, home) }
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...args], { env })
  const done = new Promise<Outcome>((resolve) => {
    let text = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk) => {
        text += chunk
      })
    child.once('close', (code, signal) => resolve({ code, signal, text }))
  })
  child.stdin?.end(input)
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return { child, done }
}

describe.skipIf(!has_simulator)('a sync as a process of its own', () => {
  test(`killed at ${KILLS} instants, it loses and repeats nothing`, async () => {
    const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 1_000_000)
    console.info(`kill.test.ts: KILL_SEED=${seed}`)
    const next = random(seed)
    const simulator = await startSimulator({ seed: 31, days: DAYS, mode: 'analytics' })
    const args = ['sync', '--since', utcDate(simulator.first_day)]
    const warm = Date.now()
    const first = startCli(simulator, temporaryHome(), args)
    expect((await first.done).code).toBe(0)
    const length_ms = Date.now() - warm

    const home = temporaryHome()
    let killed = 0
    for (let i = 0; i < KILLS; i++) {
      const { child, done } = startCli(simulator, home, args)
      // Early instants are the likelier ones: each attempt begins where the last one was cut off.
      const at = setTimeout(() => child.kill('SIGKILL'), length_ms * next() ** 2)
      const outcome = await done
      clearTimeout(at)
      if (outcome.signal === 'SIGKILL') killed += 1
      else expect(outcome).toMatchObject({ code: 0 })
    }
    expect(killed).toBeGreaterThan(KILLS / 2)
    const { code, text } = await startCli(simulator, home, args).done
    expect({ code, text }).toMatchObject({ code: 0 })
    expect(text).not.toMatch(SECRETS)
    await expectTruth(await startOutlay(simulator, { home }), simulator)
  }, 550_000)

  test('two at once read everything once', async () => {
    const simulator = await startSimulator({ seed: 32, days: 8, mode: 'legacy' })
    const home = temporaryHome()
    const args = ['sync', '--since', utcDate(simulator.first_day)]
    const runs = [startCli(simulator, home, args), startCli(simulator, home, args)]
    const outcomes = await Promise.all(runs.map(({ done }) => done))
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0])
    // One may have found the other at work; together they read all of it, or the next run does.
    expect((await startCli(simulator, home, args).done).code).toBe(0)
    await expectTruth(await startOutlay(simulator, { home }), simulator)
  })
})

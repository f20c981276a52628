import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { utcDate } from '../../src/clock.ts'
import { connectProvider } from '../../src/jobs/connect.ts'
import { reportStatus } from '../../src/jobs/status.ts'
import { listConnections } from '../../src/keys/connection.ts'
import { Secret } from '../../src/secret.ts'
import { expectTruth, startOutlay, temporaryHome } from './outlay.ts'
import { has_simulator, type Simulator, startSimulator } from './sim.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

const WRONG: readonly { provider: string; key: string; says: RegExp }[] = [
  {
    provider: 'anthropic',
    key: 'sk-ant-api03-workspace',
    says: /^This is an Anthropic API key for inference\. Needed: an Admin API key \(sk-ant-admin01-…\).* Make one at https:\/\/console\.anthropic\.com/,
  },
  {
    provider: 'anthropic',
    key: 'sk-ant-admin01-revoked',
    says: /^Anthropic refused this key \(401\)\. Needed: an Admin API key/,
  },
  {
    provider: 'anthropic',
    key: 'sk-admin-sim',
    says: /^This is an OpenAI admin key\. Needed: an Admin API key/,
  },
  {
    provider: 'openai',
    key: 'sk-proj-inference',
    says: /^OpenAI refused this key \(403\)\. Needed: an admin key \(sk-admin-…\).*api\.usage\.read.* Make one at https:\/\/platform\.openai\.com/,
  },
  {
    provider: 'openai',
    key: 'sk-svcacct-robot',
    says: /^OpenAI refused this key \(401\)\. Needed: an admin key/,
  },
  {
    provider: 'openai',
    key: 'sk-admin-revoked',
    says: /^OpenAI refused this key \(401\)\. Needed: an admin key/,
  },
  {
    provider: 'openai',
    key: 'sk-ant-admin01-sim',
    says: /^This is an Anthropic admin key\. Needed: an admin key/,
  },
  {
    provider: 'openrouter',
    key: 'sk-or-v1-inference',
    says: /^OpenRouter refused this key \(403\)\. Needed: a management key.* Make one at https:\/\/openrouter\.ai/,
  },
  {
    provider: 'openrouter',
    key: 'sk-or-mgmt-revoked',
    says: /^OpenRouter refused this key \(401\)\. Needed: a management key/,
  },
  {
    provider: 'openrouter',
    key: 'olk_abc_def',
    says: /^This is an Outlay wrapped key\. Needed: a management key/,
  },
]

const RIGHT = [
  { provider: 'anthropic', key: 'sk-ant-admin01-sim' },
  { provider: 'anthropic', key: 'sk-ant-oat01-sim' },
  { provider: 'openai', key: 'sk-admin-sim' },
  { provider: 'openai', key: 'sk-proj-usageread-sim' },
  { provider: 'openrouter', key: 'sk-or-mgmt-sim' },
]

function connect(simulator: Simulator, home: string, provider: string, key: string) {
  return runCli(simulator, home, ['connect', provider], `${key}\n`)
}

async function runCli(simulator: Simulator, home: string, args: readonly string[], input: string) {
  const env = {
    PATH: process.env['PATH'] ?? '',
    OUTLAY_HOME: home,
    OUTLAY_NOW: new Date(simulator.now).toISOString(),
    OUTLAY_ANTHROPIC_ADMIN_BASE_URL: simulator.anthropic,
    OUTLAY_OPENAI_ADMIN_BASE_URL: simulator.openai,
    OUTLAY_OPENROUTER_BASE_URL: simulator.openrouter,
  }
  const child = spawn(process.execPath, [MAIN, ...args], { env })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  child.stdin.end(input)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      text += chunk
    })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, text }
}

describe.skipIf(!has_simulator)('keys', () => {
  test('of a wrong kind are refused with the right kind and its page, and nothing is stored', async () => {
    const simulator = await startSimulator({ seed: 41, days: 2, mode: 'both' })
    const { app } = await startOutlay(simulator)
    for (const { provider, key, says } of WRONG) {
      const request = { provider, key: new Secret(key), actor: 'test' }
      const error = await connectProvider(app, request).catch((caught: Error) => caught)
      expect(error, key).toBeInstanceOf(Error)
      const { message, stack } = error as Error
      expect(message).toMatch(says)
      expect(`${message}${stack}`).not.toContain(key)
    }
    expect(await listConnections(app.db)).toEqual([])
    const { entries } = await simulator.log()
    expect(entries.filter(({ key_in_url }) => key_in_url)).toEqual([])
  })

  test('of the right kinds are stored', async () => {
    const simulator = await startSimulator({ seed: 41, days: 2, mode: 'both' })
    for (const { provider, key } of RIGHT) {
      const { app } = await startOutlay(simulator)
      const one = await connectProvider(app, { provider, key: new Secret(key), actor: 'test' })
      expect(one).toMatchObject({ provider, name: 'default', origin: 'stored' })
    }
  })

  test('that read usage and no names read all the figures, and say what is missing', async () => {
    const simulator = await startSimulator({ seed: 42, days: 3, mode: 'both' })
    const home = temporaryHome()
    const right = await connect(simulator, home, 'openai', 'sk-proj-usageread-sim')
    expect(right.text).toMatch(
      /^Connected OpenAI as openai "default" \(key .*\)\. Next: outlay sync/,
    )
    expect(right).toMatchObject({ code: 0 })
    const since = utcDate(simulator.first_day)
    const run = await runCli(simulator, home, ['sync', '--since', since], '')
    expect(run).toMatchObject({ code: 0 })
    const outlay = await startOutlay(simulator, { home })
    await expectTruth(outlay, simulator, { providers: ['openai'] })
    const { connections, problems } = await reportStatus(outlay.app)
    expect(connections).toMatchObject([{ provider: 'openai', state: 'ok' }])
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/reads usage and cost at OpenAI, but no names: .* by their ids\./)
  })

  test.each(WRONG.filter(({ key }) => /api03|sk-proj|v1/.test(key)))(
    'outlay connect $provider on stdin with a wrong kind',
    async ({ provider, key, says }) => {
      const simulator = await startSimulator({ seed: 41, days: 2, mode: 'both' })
      const home = temporaryHome()
      const { code, text } = await connect(simulator, home, provider, key)
      expect(code).toBe(1)
      expect(text.trim().split('\n')).toHaveLength(1)
      expect(text).toMatch(new RegExp(says.source.slice(1)))
      expect(text).not.toContain(key)
      const { app } = await startOutlay(simulator, { home })
      expect(await listConnections(app.db)).toEqual([])
    },
  )
})

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test, vi } from 'vitest'
import {
  COMMAND,
  type Env,
  makeHome,
  programEnv,
  runProgram,
  startServe,
  stopProgram,
} from '../helpers/program.ts'

/** Each starts the program several times, on machines that are busy too. */
vi.setConfig({ testTimeout: 90_000 })

const REAL_KEY = 'sk-real-upstream-key-that-no-client-may-see'
const ANSWER = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  model: 'gpt-5.4',
  service_tier: 'default',
  choices: [{ index: 0, message: { role: 'assistant', content: 'hi' } }],
  usage: { prompt_tokens: 20, completion_tokens: 300, total_tokens: 320 },
}

type Upstream = { url: string; waiting: ServerResponse[]; is_silent: boolean; polls: number }

/** Answers chats, or keeps them waiting; a background response is over when it is asked for. */
async function startUpstream(): Promise<Upstream> {
  const upstream: Upstream = { url: '', waiting: [], is_silent: false, polls: 0 }
  const server = createServer((request, response) => {
    const send = (value: unknown) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(value))
    }
    request.resume().once('end', () => {
      const { url = '' } = request
      if (url.endsWith('/responses')) return send({ id: 'resp_1', status: 'queued' })
      if (url.endsWith('/responses/resp_1')) {
        upstream.polls += 1
        const usage = { input_tokens: 20, output_tokens: 100, total_tokens: 120 }
        return send({ id: 'resp_1', status: 'completed', model: 'gpt-5.4', usage })
      }
      if (upstream.is_silent) upstream.waiting.push(response)
      else send(ANSWER)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  upstream.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return upstream
}

/** Two keys: one without a budget, one with. */
async function setUp(more: Env = {}) {
  const upstream = await startUpstream()
  const { home, remove } = makeHome()
  const env = programEnv(home, { OUTLAY_OPENAI_BASE_URL: upstream.url, ...more })
  await runProgram(['connect', 'openai', '--kind', 'inference'], env, REAL_KEY)
  const keyOf = async (...args: string[]) => {
    const made = await runProgram(['keys', 'create', ...args, '--json'], env)
    return (JSON.parse(made.stdout) as { key: string }).key
  }
  const free = await keyOf('free')
  const bound = await keyOf('bound', '--budget', '5')
  onTestFinished(remove)
  const database = new DatabaseSync(join(home, 'outlay', 'outlay.db'))
  onTestFinished(() => database.close())
  const one = <Row>(sql: string) => database.prepare(sql).get() as Row
  return { upstream, env, free, bound, one, path: join(home, 'outlay', 'outlay.db') }
}

function post(base: string, key: string, path: string, body: object): Promise<Response> {
  return fetch(new URL(`/proxy/openai/v1${path}`, base), {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-5.4', ...body }),
  })
}

const CHAT = { max_completion_tokens: 300, messages: [{ role: 'user', content: 'hello' }] }
const chat = (base: string, key: string) => post(base, key, '/chat/completions', CHAT)

function stopLater(child: ChildProcess): void {
  onTestFinished(() => stopProgram(child))
}

const entries = 'select count(*) as count from ledger_entry'
const settled = `select count(*) as count from hold where state = 'settled'`

/** While `spoil` lasts: what a budget binds fails closed, all else goes on; afterwards all is booked. */
async function checkTrouble(
  base: string,
  { free, bound, one }: Awaited<ReturnType<typeof setUp>>,
  spoil: () => Promise<() => void>,
): Promise<void> {
  // An answer's last byte comes when it is booked.
  for (const key of [free, bound]) expect(await (await chat(base, key)).json()).toEqual(ANSWER)
  const cure = await spoil()
  const [first, second, refused] = await Promise.all([
    chat(base, free),
    chat(base, free),
    chat(base, bound),
  ])
  expect([first.status, second.status]).toEqual([200, 200])
  expect(await first.json()).toEqual(ANSWER)
  expect(refused.status).toBe(503)
  expect(refused.headers.get('x-outlay-error')).toBe('unavailable')
  expect(await refused.json()).toMatchObject({ error: { type: expect.any(String) } })
  expect(one<{ count: number }>(entries).count).toBe(2)
  cure()
  await expect.poll(() => one<{ count: number }>(entries).count, { timeout: 5_000 }).toBe(4)
  expect(await (await chat(base, bound)).json()).toEqual(ANSWER)
  expect(one<{ count: number }>(settled).count).toBe(2)
}

test('a store that another process has locked: budgets fail closed, the rest goes on and is booked', async () => {
  const set_up = await setUp()
  const { url, child } = await startServe(set_up.env)
  stopLater(child)
  await checkTrouble(url, set_up, async () => {
    const script = `const { DatabaseSync } = require('node:sqlite')
      new DatabaseSync(process.argv[1], { timeout: 5_000 }).exec('begin immediate')
      console.log('locked')
      setInterval(() => {}, 1000)`
    const locker = spawn(process.execPath, ['-e', script, set_up.path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(locker.stdout, 'data')
    return () => void locker.kill('SIGKILL')
  })
})

const has_prlimit = spawnSync('prlimit', ['--version']).status === 0
if (!has_prlimit) console.warn('skipped: a full disk (no prlimit to make one)')

test.skipIf(!has_prlimit)(
  'a disk without room: budgets fail closed, the rest goes on and is booked',
  async () => {
    const set_up = await setUp()
    // The signal that comes with the limit would end the program; a full disk sends none.
    const script = `trap '' XFSZ; exec "$@"`
    const args = ['-c', script, 'bash', COMMAND.command, ...COMMAND.args]
    const { url, child } = await startServe(set_up.env, { command: 'bash', args })
    stopLater(child)
    const limit = (size: string) =>
      execFileSync('prlimit', ['--pid', `${child.pid}`, `--fsize=${size}:`])
    await checkTrouble(url, set_up, async () => {
      limit('1')
      return () => limit('unlimited')
    })
  },
)

test('killed in the middle: the hold stays charged, the budget stays a ceiling, and time heals it as uncertain', async () => {
  const { upstream, env, bound, one } = await setUp()
  const first = await startServe(env)
  upstream.is_silent = true
  const lost = chat(first.url, bound).catch(() => undefined)
  await expect.poll(() => upstream.waiting.length, { timeout: 5_000 }).toBe(1)
  first.child.kill('SIGKILL')
  await lost
  upstream.is_silent = false

  const second = await startServe(env)
  const held = one<{ bound: bigint }>(`select bound_nanos as bound from hold`).bound
  const report = async () => {
    const { stdout } = await runProgram(['budgets', 'list', '--json'], env)
    return (JSON.parse(stdout) as { budgets: Record<string, unknown>[] }).budgets[0]
  }
  expect(await report()).toMatchObject({ held_usd: usd(held), spent_usd: usd(0) })
  expect(await (await chat(second.url, bound)).json()).toEqual(ANSWER)
  expect(await report()).toMatchObject({ held_usd: usd(held), spent_usd: '0.004550000' })
  await stopProgram(second.child)

  // Well after the request can have lasted.
  const later = { ...env, OUTLAY_NOW: new Date(Date.now() + 2 * 3_600_000).toISOString() }
  const third = await startServe(later)
  stopLater(third.child)
  await expect
    .poll(() => one<{ state: string }>('select state from hold order by id').state, {
      timeout: 8_000,
    })
    .toBe('uncertain')
  expect(await report()).toMatchObject({
    held_usd: usd(0),
    spent_usd: usd(Number(held) + 4_550_000),
    uncertain_usd: usd(held),
  })
  expect(one<{ count: number }>(entries).count).toBe(2)
  expect(
    one<{ quality: string }>(`select quality from ledger_entry where id like 'proxy/hold/%'`),
  ).toEqual({ quality: 'missing' })
  const audit = one<{ count: number }>(
    `select count(*) as count from audit where action = 'hold.uncertain'`,
  )
  expect(audit.count).toBe(1)
})

test('a background answer that outlives its process is asked for by the next, without any request', async () => {
  const { upstream, env, bound, one } = await setUp()
  const first = await startServe(env)
  const asked = await post(first.url, bound, '/responses', {
    input: 'hello',
    max_output_tokens: 100,
    background: true,
  })
  expect(await asked.json()).toMatchObject({ status: 'queued' })
  first.child.kill('SIGKILL')
  await once(first.child, 'close')
  expect(upstream.polls).toBe(0)
  const later = { ...env, OUTLAY_NOW: new Date(Date.now() + 60_000).toISOString() }
  const second = await startServe(later)
  stopLater(second.child)
  await expect.poll(() => upstream.polls, { timeout: 10_000 }).toBe(1)
  await expect
    .poll(() => one<{ state: string }>('select state from hold').state, { timeout: 3_000 })
    .toBe('settled')
  // 20 × $2.5 and 100 × $15 a million.
  expect(one<{ cost: number }>('select charged_nanos as cost from hold').cost).toBe(1_550_000)
  expect(one<{ count: number }>(entries).count).toBe(1)
})

function usd(nanos: number | bigint): string {
  return (Number(nanos) / 1e9).toFixed(9)
}

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'

const REAL_KEY = 'sk-real-upstream-key-that-no-client-may-see'

/** The program with a provider that answers everything with a list of models. */
async function setUp() {
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end('{"object":"list","data":[]}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { home, remove } = makeHome()
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const env = programEnv(home, { OUTLAY_OPENAI_BASE_URL: url })
  await runProgram(['connect', 'openai', '--kind', 'inference'], env, REAL_KEY)
  const served = await startServe(env)
  onTestFinished(async () => {
    await stopProgram(served.child)
    server.close()
    remove()
  })
  const keys = async (...args: string[]) => {
    const { code, stdout, stderr } = await runProgram(['keys', ...args], env)
    if (code !== 0) throw new Error(stderr)
    return stdout
  }
  const make = async (...args: string[]) =>
    (JSON.parse(await keys('create', ...args, '--json')) as { key: string }).key
  const ask = async (key: string) => {
    const models = new URL('/proxy/openai/v1/models', served.url)
    const answer = await fetch(models, { headers: { authorization: `Bearer ${key}` } })
    return { status: answer.status, text: await answer.text() }
  }
  return { keys, make, ask }
}

test('what another process does to a key binds its next request', async () => {
  const { keys, make, ask } = await setUp()
  const key = await make('ci')
  expect((await ask(key)).status).toBe(200)
  await keys('pause', 'ci')
  const paused = await ask(key)
  expect(paused.status).toBe(401)
  expect(paused.text).toContain('is paused')
  await keys('resume', 'ci')
  expect((await ask(key)).status).toBe(200)
  const { key: renewed } = JSON.parse(await keys('rotate', 'ci', '--json')) as { key: string }
  expect(renewed).not.toBe(key)
  // Within its grace the old secret works beside the new one.
  for (const one of [key, renewed]) expect((await ask(one)).status).toBe(200)
  await keys('revoke', 'ci', '--yes')
  for (const one of [key, renewed]) {
    const revoked = await ask(one)
    expect(revoked.status).toBe(401)
    expect(revoked.text).not.toContain(one)
  }
})

test('a key works from its addresses and until it expires', async () => {
  const { make, ask } = await setUp()
  const near = await make('near', '--addresses', '127.0.0.0/8')
  const far = await make('far', '--addresses', '10.0.0.0/8')
  const short = await make('short', '--expires', new Date(Date.now() + 4_000).toISOString())
  expect((await ask(near)).status).toBe(200)
  expect((await ask(short)).status).toBe(200)
  const refused = await ask(far)
  expect(refused.status).toBe(403)
  expect(refused.text).toContain('may not be used from this address')
  await expect.poll(async () => (await ask(short)).status, { timeout: 8_000 }).toBe(401)
})

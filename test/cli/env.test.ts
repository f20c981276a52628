import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'

const { home, remove } = makeHome()
afterAll(remove)

test('env prints the port of the Outlay that runs, or says that only its start will tell', async () => {
  const env = programEnv(home)
  const early = await runProgram(['env', 'openai'], env)
  expect(early).toMatchObject({ code: 1, stdout: '' })
  expect(early.stderr).toContain('No Outlay is running')
  const fixed = await runProgram(['env', 'openai'], { ...env, OUTLAY_PORT: '5999' })
  expect(fixed.stdout).toContain('http://127.0.0.1:5999/proxy/openai/v1')

  const key = 'sk-ant-api03-Zk3vQ8mT1xW5rB9nL2pD7cH4jF6sG0yUeVaIoXqR9QAA'
  const far_end = createServer((_, outgoing) => void outgoing.end('{"data":[]}')).listen(
    0,
    '127.0.0.1',
  )
  await once(far_end, 'listening')
  onTestFinished(() => void far_end.close())
  const { port } = far_end.address() as AddressInfo
  const provider = { ...env, OUTLAY_ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}` }
  await runProgram(['connect', 'anthropic', '--kind', 'inference'], provider, key)
  const made = await runProgram(['keys', 'create', 'ci'], env)
  expect(made.code).toBe(0)
  expect(made.stdout).toMatch(/^olk_/)
  expect(made.stderr).toContain('outlay env <client>')
  expect(made.stderr).not.toContain(':0/')

  const { url, child } = await startServe(env)
  try {
    const { stdout } = await runProgram(['env', 'openai'], env)
    expect(stdout).toContain(`OPENAI_BASE_URL=${url}/proxy/openai/v1`)
  } finally {
    await stopProgram(child)
  }
}, 30_000)

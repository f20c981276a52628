import { expect, onTestFinished, test } from 'vitest'
import { CLIENTS } from '../helpers/clients.ts'
import { makeHome, programEnv } from '../helpers/program.ts'

const connect = CLIENTS['SDK 2, protocol 2026-07-28']

type Status = { owner: string; side_port: string | null }

async function openSession(env: Record<string, string>) {
  const client = await connect({ env })
  const status = async () => {
    const result = await client.callTool({ name: 'get_status', arguments: {} })
    return result.structuredContent as Status
  }
  const { transport } = client as unknown as { transport: { pid: number | null } }
  return { client, status, pid: () => transport.pid ?? 0 }
}

test('of two sessions on one store one owns the port; the other takes over when it is killed', async () => {
  const { home, remove } = makeHome()
  const env = programEnv(home)
  const [first, second] = await Promise.all([openSession(env), openSession(env)])
  onTestFinished(async () => {
    await Promise.allSettled([first.client.close(), second.client.close()])
    remove()
  })
  const statuses = await Promise.all([first.status(), second.status()])
  const [owner, reader] = statuses[0]?.owner === 'this' ? [first, second] : [second, first]
  expect((await owner.status()).owner).toBe('this')
  const before = await reader.status()
  expect(before.owner).toBe('other')
  expect((await fetch(new URL('/healthz', before.side_port ?? ''))).status).toBe(200)

  process.kill(owner.pid(), 'SIGKILL')
  await expect
    .poll(async () => (await reader.status()).owner, { timeout: 10_000, interval: 200 })
    .toBe('this')
  await expect
    .poll(async () => (await reader.status()).side_port, { timeout: 10_000, interval: 200 })
    .toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  const { side_port } = await reader.status()
  expect(await (await fetch(new URL('/healthz', side_port ?? ''))).json()).toMatchObject({
    service: 'outlay',
    role: 'owner',
  })
})

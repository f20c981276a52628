import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'
import { expect, test } from 'vitest'
import { createGate } from '../../src/budgets/gate.ts'
import { createAccessToken } from '../../src/keys/access-token.ts'
import { silentLog } from '../../src/log.ts'
import { createMcpServer } from '../../src/server.ts'
import { createSidePort } from '../../src/side-port.ts'
import { request } from '../budgets/fixture.ts'
import { NOW, openToolApp, type ToolApp } from './fixture.ts'

const team = { scope: 'all', period: 'month', limit_usd: '10', action: 'block', name: 'team' }

async function makeBudget({ call }: ToolApp): Promise<string> {
  const { data } = await call('set_budget', team)
  return `outlay://budgets/${data['id']}`
}

/** Another process of the store holds money. */
async function holdSome({ app }: ToolApp): Promise<void> {
  const gate = await createGate(app)
  await gate.admit(request(1_000_000_000n))
  await gate.close()
}

/** The first look of a watch is only remembered. */
const FIRST_LOOK_MS = 400

async function within(seen: readonly string[], uri: string): Promise<boolean> {
  for (let i = 0; i < 60 && !seen.includes(uri); i++) await delay(50)
  return seen.includes(uri)
}

test('a client of the older protocol is told of the budget that it subscribed to, and no other', async () => {
  const tools = await openToolApp()
  const uri = await makeBudget(tools)
  const seen: string[] = []
  tools.client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
    seen.push(params.uri)
  })
  await tools.client.subscribeResource({ uri })
  await delay(FIRST_LOOK_MS)
  await holdSome(tools)
  expect(await within(seen, uri)).toBe(true)
  expect(seen).toEqual([uri])
})

test('a client of the newer protocol listens over HTTP', async () => {
  const tools = await openToolApp()
  const uri = await makeBudget(tools)
  const { token } = await createAccessToken(tools.app.db, {
    name: 'test',
    scopes: ['read'],
    expires_at: null,
    at: NOW,
    actor: 'test',
  })
  const { hono } = createSidePort(tools.app)
  const client = new Client(
    { name: 'newer', version: '1' },
    { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  )
  const transport = new StreamableHTTPClientTransport(new URL('http://localhost/mcp'), {
    fetch: async (url, init) => hono.request(new Request(url, init)),
    requestInit: { headers: { host: 'localhost', authorization: `Bearer ${token.reveal()}` } },
  })
  await client.connect(transport)
  const seen: string[] = []
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
    seen.push(params.uri)
  })
  const subscription = await client.listen({
    resourceSubscriptions: ['outlay://budgets/team', uri],
  })
  await delay(FIRST_LOOK_MS)
  await holdSome(tools)
  expect(await within(seen, uri)).toBe(true)
  expect(seen).toContain('outlay://budgets/team')
  await subscription.close()
  await client.close()
})

test('over stdio the transport of the newer protocol lets through what was asked for', async () => {
  const tools = await openToolApp()
  const uri = await makeBudget(tools)
  const [input, output] = [new PassThrough(), new PassThrough()]
  const handle = serveStdio(
    ({ era }) =>
      createMcpServer({
        open: async () => tools.app,
        log: silentLog,
        can_write: true,
        actor: 'test',
        announces: { era, is_lasting: true },
      }),
    { transport: new StdioServerTransport(input, output) },
  )
  let lines = ''
  output.on('data', (chunk: Buffer) => {
    lines += chunk.toString('utf8')
  })
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'newer', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const send = (id: number, method: string, params: object) =>
    input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params: { ...params, _meta } })}\n`)
  send(1, 'resources/read', { uri })
  send(2, 'subscriptions/listen', { notifications: { resourceSubscriptions: [uri] } })
  await delay(FIRST_LOOK_MS * 2)
  await holdSome(tools)
  for (let i = 0; i < 60 && !lines.includes('resources/updated'); i++) await delay(50)
  const told = lines
    .split('\n')
    .filter((line) => line.includes('resources/updated'))
    .map((line) => (JSON.parse(line) as { params: { uri: string } }).params.uri)
  expect(told).toEqual([uri])
  await handle.close()
})

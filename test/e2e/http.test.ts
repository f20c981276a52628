import { request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CLIENTS, type McpClient, textOf } from '../helpers/clients.ts'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'

const { home, remove } = makeHome()
const env = programEnv(home)
const tokens: Record<string, string> = {}
let served: Awaited<ReturnType<typeof startServe>>

beforeAll(async () => {
  for (const scopes of ['read', 'read,write', 'ingest']) {
    const made = await runProgram(['tokens', 'create', scopes, '--scopes', scopes], env)
    tokens[scopes] = made.stdout.trim()
  }
  served = await startServe(env)
}, 60_000)

afterAll(async () => {
  await stopProgram(served.child)
  remove()
})

const LIST = {
  method: 'POST',
  path: '/mcp',
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
}

type Sent = { method?: string; path?: string; body?: string; headers?: Record<string, string> }

/** node:http, because `fetch` does not let a caller set Host. */
function send({ method = 'GET', path = '/healthz', body, headers = {} }: Sent) {
  return new Promise<{ status: number; text: string; headers: Record<string, unknown> }>(
    (resolve, reject) => {
      const sent = request(
        new URL(path, served.url),
        {
          method,
          headers: {
            accept: 'application/json, text/event-stream',
            'content-type': 'application/json',
            ...headers,
          },
        },
        async (response) => {
          const chunks = await response.toArray()
          const text = Buffer.concat(chunks).toString()
          resolve({ status: response.statusCode ?? 0, text, headers: response.headers })
        },
      )
      sent.once('error', reject)
      sent.end(body)
    },
  )
}

const bearer = (token = '') => ({ authorization: `Bearer ${token}` })

test.each([
  ['no token', {}, 401, /outlay tokens create/],
  ['a made-up token', bearer(`olt_${'0'.repeat(16)}_${'A'.repeat(43)}`), 401, /not a known/],
  ['a wrapped key', bearer('olk_abc_def'), 401, /wrapped key.*access token/],
  ['a provider key', bearer('sk-ant-admin01-x'), 401, /provider key/],
] as const)(
  '/mcp with %s is refused in a sentence that helps',
  async (_, headers, status, says) => {
    const answer = await send({ ...LIST, headers })
    expect(answer.status).toBe(status)
    expect(answer.text).toMatch(says)
    expect(answer.headers['www-authenticate']).toContain('Bearer')
  },
)

test('a token for telemetry may not ask', async () => {
  const answer = await send({ ...LIST, headers: bearer(tokens['ingest']) })
  expect(answer.status).toBe(403)
  expect(answer.text).toContain('lacks the scope')
})

test('a token that only reads sees no tool that writes, and cannot call one by name', async () => {
  const place = { url: served.url, token: tokens['read'] ?? '' }
  const client: McpClient = await CLIENTS['SDK 2, protocol 2026-07-28'](place)
  const { tools } = await client.listTools()
  expect(tools.every(({ annotations }) => annotations?.readOnlyHint)).toBe(true)
  const call = client.callTool({ name: 'sync_now', arguments: {} })
  await expect(call.then((result) => result.isError)).rejects.toThrow(/sync_now/)
  await client.close()
})

test('a token that writes is the actor of what it does', async () => {
  const place = { url: served.url, token: tokens['read,write'] ?? '' }
  const client = await CLIENTS['SDK 2, protocol 2026-07-28'](place)
  const result = await client.callTool({
    name: 'connect_provider',
    arguments: { provider: 'openai' },
  })
  expect(textOf(result)).toContain(`${served.url}/connect/`)
  await client.close()
})

test.each([
  ['a foreign Host', { host: 'evil.example' }],
  ['a foreign Origin', { origin: 'https://evil.example' }],
  ['a Host that only begins like ours', { host: '127.0.0.1.evil.example' }],
] as const)('%s is refused before anything else', async (_, headers) => {
  for (const one of [{}, LIST, { path: '/connect/x' }])
    expect((await send({ ...one, headers })).status).toBe(403)
})

test('healthz says who answers', async () => {
  const { status, text } = await send({})
  expect(status).toBe(200)
  expect(JSON.parse(text)).toMatchObject({ service: 'outlay', role: 'owner' })
})

test('an unknown path says where to go', async () => {
  const { status, text } = await send({ path: '/nowhere' })
  expect(status).toBe(404)
  expect(text).toContain('/mcp')
})

test('binding beyond loopback without names and a token is refused', async () => {
  const other = makeHome()
  const open = { ...programEnv(other.home), OUTLAY_HOST: '0.0.0.0' }
  const first = await startAndStop(open)
  expect(first).toContain('OUTLAY_ALLOWED_HOSTS')
  const second = await startAndStop({ ...open, OUTLAY_ALLOWED_HOSTS: 'outlay.example' })
  expect(second).toContain('outlay tokens create')
  other.remove()
})

/** What `serve` says when it cannot listen. */
async function startAndStop(variables: Record<string, string>): Promise<string> {
  const { code, stderr } = await runProgram(['serve'], variables)
  expect(code).toBe(1)
  return stderr
}

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { openSidePort } from '../../src/side-port.ts'
import { openToolApp, pretendSidePort } from './fixture.ts'

const GOOGLE_KEY = 'AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY'
const ADMIN_KEY = 'sk-ant-admin01-0123456789abcdefghijklmnopqrstuvwxyz'

/** A provider that knows one key and lists its models to it. */
async function startModels(key: string) {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(request.url ?? '')
    const is_known = request.headers['x-goog-api-key'] === key
    response.writeHead(is_known ? 200 : 400, { 'content-type': 'application/json' })
    response.end('{"models":[]}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function openOwned(env: Readonly<Record<string, string>> = {}) {
  const tools = await openToolApp(env)
  const port = await openSidePort(tools.app)
  onTestFinished(() => port.close())
  await pretendSidePort(tools, port.url)
  const type = (url: unknown, key: string) =>
    fetch(String(url), { method: 'POST', body: new URLSearchParams({ key }) })
  return { ...tools, type }
}

test('a key for the proxy is typed on its page and stands behind wrapped keys', async () => {
  const models = await startModels(GOOGLE_KEY)
  const { call, type } = await openOwned({ OUTLAY_GOOGLE_BASE_URL: models.url })
  const asked = await call('connect_provider', { provider: 'google' })
  expect(asked.data).toMatchObject({
    state: 'page_ready',
    command: 'outlay connect google --kind inference',
    key_needed: 'a Gemini API key (AIza…)',
  })
  const { url } = asked.data
  const form = await (await fetch(String(url))).text()
  expect(form).toContain('Connect Google Gemini')
  expect(form).toContain('Who holds a wrapped key never sees this one')
  expect(form).not.toContain('GET requests')
  expect(await (await type(url, `${GOOGLE_KEY}x`)).text()).toContain('refused this key (400)')
  const done = await (await type(url, GOOGLE_KEY)).text()
  expect(done).toContain('make a wrapped key')
  expect(done).not.toContain(GOOGLE_KEY)
  expect(done).not.toContain('Organisation')
  expect(models.seen).toHaveLength(2)
  const { data, text } = await call('list_keys')
  expect(data['provider_keys']).toMatchObject([{ provider: 'google', name: 'default' }])
  expect(text).not.toContain(GOOGLE_KEY)
})

test('where a provider has both kinds, the kind decides, and the wrong key is told apart', async () => {
  const { call, type } = await openOwned()
  const inference = await call('connect_provider', { provider: 'anthropic', kind: 'inference' })
  expect(inference.text).toContain('outlay connect anthropic --kind inference')
  const refused = await type(inference.data['url'], ADMIN_KEY)
  expect(refused.status).toBe(422)
  expect(await refused.text()).toContain('admin')
  const admin = await call('connect_provider', { provider: 'anthropic' })
  expect(admin.data['command']).toBe('outlay connect anthropic')
})

test.each([
  [{ provider: 'google', kind: 'admin' }, 'Known: anthropic, openai, openrouter'],
  [{ provider: 'nobody', kind: 'inference' }, 'Known: anthropic, openai, google'],
  [{ provider: 'nobody' }, 'Known: anthropic, openai, openrouter'],
])('%o is answered with what there is', async (args, told) => {
  const { call } = await openOwned()
  const answer = await call('connect_provider', args)
  expect(answer.is_error).toBe(true)
  expect(answer.text).toContain(told)
})

test('a server at any address is connected by a person at a terminal alone', async () => {
  const { call } = await openOwned()
  const { data, text } = await call('connect_provider', {
    provider: 'compat/local',
    kind: 'inference',
  })
  expect(data).toMatchObject({ state: 'use_command', url: null })
  expect(text).toContain('outlay connect compat/local --kind inference --base-url')
})

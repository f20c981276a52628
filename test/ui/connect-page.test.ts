import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { expect, onTestFinished, test } from 'vitest'
import { fixedClock, MINUTE_MS } from '../../src/clock.ts'
import { UserError } from '../../src/errors.ts'
import { createConnectPage, findConnectPage } from '../../src/keys/connect-page.ts'
import type { Secret } from '../../src/secret.ts'
import { type ConnectDeps, connectRoute } from '../../src/ui/connect-page.ts'
import { KEY, NOW, openKeyStore } from '../keys/fixture.ts'

const HELP = {
  name: 'Claude',
  kind: 'an Admin API key',
  note: 'Only admins can make one.',
  url: 'https://console.example/keys',
  effect: 'will read it',
  used_for: 'Reading.',
  done: 'The first sync has begun.',
}

/** The page on a real socket. `answer` stands for what the provider says to each key. */
async function openPage(answer: (key: Secret) => void = () => {}) {
  const { db } = await openKeyStore()
  const clock = fixedClock(NOW)
  const tried: { provider: string; kind: string; name: string; key: Secret }[] = []
  const deps: ConnectDeps = {
    db,
    clock,
    describe: ({ provider }) => (provider === 'anthropic' ? HELP : undefined),
    async connect(given) {
      tried.push(given)
      answer(given.key)
      return { organization_name: 'Acme <b>&</b> Sons', fingerprint: 'sk-ant-admin01-…9QAA' }
    },
  }
  const app = connectRoute(deps)
  app.onError((_, c) => c.text('internal error', 500))
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  if (!server.listening) await once(server, 'listening')
  onTestFinished(() => void server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const nonce = await createConnectPage(db, {
    provider: 'anthropic',
    kind: 'admin',
    name: 'default',
    clock,
  })
  const url = `${origin}/connect/${nonce}`
  const own = { origin, 'sec-fetch-site': 'same-origin' }
  const post = (key: string, headers: Record<string, string> = own) =>
    fetch(url, { method: 'POST', headers, body: new URLSearchParams({ key }) })
  return { db, clock, tried, origin, nonce, url, own, post }
}

test('a person opens the page, types the key, and is told that it worked', async () => {
  const { db, tried, nonce, url, post } = await openPage()
  const form = await (await fetch(url)).text()
  expect(form).toContain('<h1>Connect Claude</h1>')
  expect(form).toContain('Admin API key')
  expect(form).toContain('href="https://console.example/keys"')
  expect(form).toMatch(/<label for="key">/)
  expect(form).toMatch(/<input id="key" name="key" type="password" required[^>]*autocomplete="off"/)
  const done = await post(` ${KEY}\n`)
  expect(done.status).toBe(200)
  const text = await done.text()
  expect(text).toContain('Acme &lt;b&gt;&amp;&lt;/b&gt; Sons')
  expect(text).toContain('sk-ant-admin01-…9QAA')
  expect(text).toContain('close this tab')
  expect(text).not.toContain(KEY)
  expect(tried.map(({ key }) => key.reveal())).toEqual([KEY])
  expect(tried).toMatchObject([{ provider: 'anthropic', name: 'default' }])
  expect(await findConnectPage(db, nonce, NOW)).toMatchObject({ state: 'used' })
  expect((await fetch(url)).status).toBe(410)
  expect((await post(KEY)).status).toBe(410)
  expect(tried).toHaveLength(1)
})

test('looking at the page does not use it up', async () => {
  const { url, post } = await openPage()
  for (const method of ['GET', 'HEAD', 'GET'])
    expect((await fetch(url, { method })).status).toBe(200)
  expect((await post(KEY)).status).toBe(200)
})

test('every answer forbids scripts, framing, storing and referrers, and needs no other origin', async () => {
  const { origin, url, post } = await openPage()
  const answers = [
    await fetch(url),
    await post(''),
    await fetch(`${origin}/connect/x`),
    await post(KEY, { origin: 'null' }),
  ]
  for (const answer of answers) {
    const policy = answer.headers.get('content-security-policy')
    expect(policy).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]{44}'; form-action 'self'; frame-ancestors 'none'/,
    )
    expect(policy).not.toMatch(/unsafe|script-src/)
    expect(answer.headers.get('referrer-policy')).toBe('same-origin')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('x-frame-options')).toBe('DENY')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    const text = await answer.text()
    expect(text).not.toMatch(/<script|<link|<img|@import|url\(| src=| style=/)
  }
})

test.each<[string, Record<string, string>]>([
  ['another origin', { origin: 'https://evil.example' }],
  ['another port', { origin: 'http://127.0.0.1:1' }],
  ['another site', { 'sec-fetch-site': 'cross-site' }],
  ['a sibling', { 'sec-fetch-site': 'same-site' }],
  ['an opaque origin', { origin: 'null' }],
  ['an opaque origin of another site', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
  ['no origin at all', { origin: 'nonsense' }],
])('a form posted from %s is refused and spends nothing', async (_, headers) => {
  const { db, tried, nonce, post } = await openPage()
  expect((await post(KEY, headers)).status).toBe(403)
  expect(tried).toEqual([])
  expect(await findConnectPage(db, nonce, NOW)).toMatchObject({ state: 'open', tries_left: 5 })
})

test('a form posted under no-referrer, as browsers do it, and by a program is taken', async () => {
  const browser = await openPage()
  const headers = { origin: 'null', 'sec-fetch-site': 'same-origin' }
  expect((await browser.post(KEY, headers)).status).toBe(200)
  const program = await openPage()
  expect((await program.post(KEY, {})).status).toBe(200)
})

test('a refused key shows why, with the form again, five times at most', async () => {
  const { db, tried, nonce, url, post } = await openPage(() => {
    throw new UserError('This is an <inference> key. Needed: an Admin API key.')
  })
  for (const left of ['4 tries are left', '3 tries', '2 tries', 'One try is left']) {
    const answer = await post(KEY)
    expect(answer.status).toBe(422)
    const text = await answer.text()
    expect(text).toContain('This is an &lt;inference&gt; key.')
    expect(text).toContain(left)
    expect(text).toContain('type="password"')
    expect(text).not.toContain(KEY)
  }
  const last = await post(KEY)
  expect(last.status).toBe(410)
  expect(await last.text()).toContain('This is an &lt;inference&gt; key.')
  expect((await post(KEY)).status).toBe(410)
  expect((await fetch(url)).status).toBe(410)
  expect(tried).toHaveLength(5)
  expect(await findConnectPage(db, nonce, NOW)).toMatchObject({ state: 'exhausted' })
})

test('after a refused key the right one is still taken', async () => {
  let count = 0
  const { post } = await openPage(() => {
    if (count++ === 0) throw new UserError('Wrong kind.')
  })
  expect((await post(KEY)).status).toBe(422)
  expect((await post(KEY)).status).toBe(200)
})

test.each(['', '  ', 'two words here', 'short', 'smörgåsbord-smörgås', 'x'.repeat(2_000)])(
  'what cannot be a key never reaches the provider and spends no try: "%s"',
  async (text) => {
    const { db, tried, nonce, post } = await openPage()
    expect((await post(text)).status).toBe(422)
    expect(tried).toEqual([])
    expect(await findConnectPage(db, nonce, NOW)).toMatchObject({ tries_left: 5 })
  },
)

test('a body beyond 8 KiB or of another type is refused', async () => {
  const { tried, url, own, post } = await openPage()
  expect((await post('x'.repeat(9_000))).status).toBe(413)
  const parts = Array.from({ length: 10 }, () => new Uint8Array(1_000).fill(120))
  const body = new ReadableStream({
    pull: (controller) => {
      const part = parts.pop()
      if (part) controller.enqueue(part)
      else controller.close()
    },
  })
  const type = 'application/x-www-form-urlencoded'
  const headers = { ...own, 'content-type': type }
  const streamed = await fetch(url, {
    method: 'POST',
    headers,
    body,
    duplex: 'half',
  } as RequestInit)
  expect(streamed.status).toBe(413)
  const json = { ...own, 'content-type': 'application/json' }
  expect((await fetch(url, { method: 'POST', headers: json, body: '{}' })).status).toBe(415)
  expect(tried).toEqual([])
})

test('an expired or unknown page is friendly about it', async () => {
  const { clock, origin, url } = await openPage()
  const unknown = await fetch(`${origin}/connect/${'x'.repeat(43)}`)
  expect(unknown.status).toBe(404)
  expect(await unknown.text()).toContain('There is no such page')
  clock.set(NOW + 16 * MINUTE_MS)
  const expired = await fetch(url)
  expect(expired.status).toBe(410)
  expect(await expired.text()).toContain('outlay connect')
})

test('a defect is not shown, and the page stays usable', async () => {
  let count = 0
  const { post } = await openPage((key) => {
    if (count++ === 0) throw new Error(`broke with ${key.reveal()}`)
  })
  const answer = await post(KEY)
  expect(answer.status).toBe(500)
  expect(await answer.text()).toBe('internal error')
  expect((await post(KEY)).status).toBe(200)
})

import { expect, test } from 'vitest'
import { reportStatus } from '../../src/jobs/status.ts'
import { openKeyring } from '../../src/keys/keyring.ts'
import { createSidePort } from '../../src/side-port.ts'
import { connectUpstream, openToolApp, pretendSidePort, type ToolApp } from './fixture.ts'

const HOST = { host: 'localhost' }

async function openWithKeys(): Promise<ToolApp> {
  const tools = await openToolApp()
  await connectUpstream(tools)
  return tools
}

test('a key for somebody is made in one call, with its budget, and shown on a page once', async () => {
  const tools = await openWithKeys()
  const { app, call } = tools
  await pretendSidePort(tools, 'http://localhost:4318')
  const made = await call('create_wrapped_key', {
    name: 'ada',
    models: ['claude-haiku-*'],
    user: 'ada',
    budget_usd: 20,
    budget_period: 'week',
    expires: '30d',
    limits: { requests_per_minute: 60 },
  })
  expect(made.data).toMatchObject({
    state: 'page_ready',
    base_urls: { anthropic: 'http://localhost:4318/proxy/anthropic' },
  })
  expect(made.text).not.toContain('olk_')
  const url = new URL(String(made.data['url']))
  const { hono } = createSidePort(app)
  const look = await hono.request(url.pathname, { headers: HOST })
  expect(await look.text()).not.toContain('olk_')
  const shown = await hono.request(url.pathname, { method: 'POST', headers: HOST })
  const [secret] = /olk_[0-9a-f]{16}_[\w-]{43}/.exec(await shown.text()) ?? []
  expect(shown.headers.get('cache-control')).toBe('no-store')
  const again = await hono.request(url.pathname, { method: 'POST', headers: HOST })
  expect(again.status).toBe(410)
  const ring = openKeyring(app)
  expect(await ring.resolveKey(secret ?? '', app.clock.now())).toMatchObject({
    name: 'ada',
    user: 'ada',
    limits: { requests_per_minute: 60 },
    on_abort: 'drain',
  })
  ring.close()
  const { data } = await call('check_budget')
  expect(data['budgets']).toMatchObject([
    {
      name: 'key ada',
      scope: 'wrapped_key',
      period: 'week',
      action: 'block',
      limit_usd: '20.000000000',
    },
  ])
})

test('who has connected keys for the proxy alone is not told that nothing is connected', async () => {
  const { app, call } = await openWithKeys()
  const { data } = await call('get_status')
  expect(data['problems']).toEqual([])
  expect(await reportStatus(app)).toMatchObject({ provider_keys: [{ provider: 'anthropic' }] })
})

test('the budget of a key blocks, also where another budget of it only tells', async () => {
  const { call } = await openWithKeys()
  await call('create_wrapped_key', { name: 'dev', reveal: 'inline' })
  const told = { scope: 'wrapped_key', scope_value: 'dev', period: 'day', limit_usd: 1 }
  await call('set_budget', { ...told, name: 'told' })
  for (const budget_usd of [5, 6])
    await call('update_wrapped_key', { key: 'dev', action: 'change', changes: { budget_usd } })
  const { data } = await call('check_budget')
  expect(data['budgets']).toMatchObject([
    { name: 'key dev', action: 'block', limit_usd: '6.000000000', period: 'month' },
    { name: 'told', action: 'notify', limit_usd: '1.000000000', period: 'day' },
  ])
})

test('a name can be given again, with a budget, once its key is revoked', async () => {
  const { call } = await openWithKeys()
  const request = { name: 'dev', budget_usd: 5, reveal: 'inline' }
  await call('create_wrapped_key', request)
  const { plan_id } = (await call('update_wrapped_key', { key: 'dev', action: 'revoke' })).data
  await call('update_wrapped_key', { plan_id })
  const again = await call('create_wrapped_key', request)
  expect(again).toMatchObject({ is_error: false, data: { name: 'dev' } })
  const { data, text } = await call('check_budget', { wrapped_key: 'dev' })
  expect(data['budgets']).toMatchObject([
    { name: `key dev ${String(again.data['id']).slice(0, 8)}`, key_name: 'dev' },
  ])
  expect(text).toContain('$0.00 spent of $5.00')
  const of_key = { scope: 'wrapped_key', scope_value: 'dev', period: 'day', limit_usd: 1 }
  expect((await call('set_budget', of_key)).text).toContain('"wrapped key dev day": $1.00 a day')
})

test('another page cannot have the key shown', async () => {
  const tools = await openWithKeys()
  await pretendSidePort(tools, 'http://localhost:4318')
  const { data } = await tools.call('create_wrapped_key', { name: 'ada' })
  const { pathname } = new URL(String(data['url']))
  const { hono } = createSidePort(tools.app)
  const foreign = await hono.request(pathname, {
    method: 'POST',
    headers: { ...HOST, 'sec-fetch-site': 'cross-site' },
  })
  expect(foreign.status).toBe(403)
  expect(await foreign.text()).not.toContain('olk_')
})

test('inline it is told in the result, and nowhere else', async () => {
  const { call, app } = await openWithKeys()
  const made = await call('create_wrapped_key', { name: 'ci', reveal: 'inline' })
  const secret = String(made.data['key'])
  expect(secret).toMatch(/^olk_/)
  const rows = await app.db.selectFrom('wrapped_key').selectAll().execute()
  const audit = await app.db.selectFrom('audit').selectAll().execute()
  for (const text of [JSON.stringify(rows), JSON.stringify(audit), (await call('list_keys')).text])
    expect(text).not.toContain(secret.slice(-43))
})

test('without a page and without a provider key nothing is made', async () => {
  const bare = await openToolApp()
  const none = await bare.call('create_wrapped_key', { name: 'a', reveal: 'inline' })
  expect(none).toMatchObject({ is_error: true, text: expect.stringContaining('--kind inference') })
  await connectUpstream(bare)
  const closed = await bare.call('create_wrapped_key', { name: 'a' })
  expect(closed).toMatchObject({ is_error: true, text: expect.stringContaining('reveal: inline') })
  const wrong = await bare.call('create_wrapped_key', {
    name: 'a',
    providers: ['antropic'],
    reveal: 'inline',
  })
  expect(wrong.text).toContain('Closest: anthropic')
  expect((await bare.call('list_keys')).data['keys']).toEqual([])
})

test('revoking takes two calls, pausing and changing one', async () => {
  const { call, app } = await openWithKeys()
  const { data } = await call('create_wrapped_key', { name: 'ci', reveal: 'inline' })
  const secret = String(data['key'])
  const ring = openKeyring(app)
  const resolve = async () => {
    await new Promise((done) => setImmediate(done))
    return ring.resolveKey(secret, app.clock.now())
  }
  const update = (args: object) => call('update_wrapped_key', { key: 'ci', ...args })
  expect((await update({ action: 'pause' })).data).toMatchObject({ state: 'paused' })
  expect(await resolve()).toMatchObject({ problem: 'paused' })
  await update({ action: 'resume' })
  const changes = { models: ['claude-haiku-*'], budget_usd: '5' }
  expect((await update({ action: 'change', changes })).is_error).toBe(false)
  expect((await call('check_budget')).data['budgets']).toMatchObject([{ limit_usd: '5.000000000' }])
  const bad = await update({ action: 'change', changes: { modles: [] } })
  expect(bad).toMatchObject({ is_error: true, text: expect.stringContaining('modles') })
  const planned = await update({ action: 'revoke' })
  expect(planned.data).toMatchObject({ state: 'planned' })
  expect(await resolve()).toMatchObject({ name: 'ci' })
  const { plan_id } = planned.data
  expect((await call('update_wrapped_key', { plan_id })).data).toMatchObject({ state: 'revoked' })
  expect(await resolve()).toMatchObject({ problem: 'revoked' })
  ring.close()
})

test('rotating keeps the old secret for its grace, or takes two calls', async () => {
  const { call, app } = await openWithKeys()
  await call('create_wrapped_key', { name: 'ci', reveal: 'inline' })
  const rotate = { key: 'ci', action: 'rotate', reveal: 'inline' }
  const soft = await call('update_wrapped_key', rotate)
  expect(soft.text).toContain('works for 24 h more')
  const hard = await call('update_wrapped_key', { ...rotate, grace_hours: 0 })
  const { plan_id } = hard.data
  const done = await call('update_wrapped_key', { plan_id, reveal: 'inline' })
  expect(done.text).toContain('is refused from now on')
  const ring = openKeyring(app)
  expect(await ring.resolveKey(String(soft.data['key']), app.clock.now())).toMatchObject({
    problem: 'unknown',
  })
  expect(await ring.resolveKey(String(done.data['key']), app.clock.now())).toMatchObject({
    name: 'ci',
  })
  ring.close()
})

test('list_keys flags what a careful owner would look at', async () => {
  const { call, clock } = await openWithKeys()
  await call('create_wrapped_key', { name: 'ci', reveal: 'inline' })
  clock.set(clock.now() + 31 * 86_400_000)
  const { data, text } = await call('list_keys')
  expect(data['keys']).toMatchObject([
    { name: 'ci', flags: ['never used', 'no blocking budget', 'no expiry'] },
  ])
  expect(data['provider_keys']).toMatchObject([{ provider: 'anthropic', name: 'default' }])
  expect(text).toContain('Look at: never used')
})

test('a key that is given where a name belongs is not repeated', async () => {
  const { call } = await openWithKeys()
  const keys = [
    'sk-ant-api03-Zk3vQ8mT1xW5rB9nL2pD7cH4jF6sG0yUeVaIoXqR9QAA',
    'olk_0123456789abcdef_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG',
  ]
  for (const key of keys)
    for (const [tool, args] of [
      ['check_budget', { budget: key }],
      ['check_budget', { wrapped_key: key }],
      ['update_wrapped_key', { key, action: 'pause' }],
      ['connect_provider', { provider: key }],
    ] as const) {
      const answer = await call(tool, args)
      expect(answer.is_error).toBe(true)
      expect(answer.text).not.toContain(key.slice(0, 30))
    }
})

test('a user and a workspace are taken away again by an empty text, a name never', async () => {
  const { call } = await openWithKeys()
  const request = { name: 'dev', user: 'ada', workspace: 'w1', reveal: 'inline' }
  await call('create_wrapped_key', request)
  const change = (changes: object) =>
    call('update_wrapped_key', { key: 'dev', action: 'change', changes })
  expect((await change({ user: '', workspace: '' })).is_error).toBe(false)
  const { data } = await call('list_keys')
  expect(data['keys']).toMatchObject([{ user: null, workspace: null }])
  expect(await change({ name: '' })).toMatchObject({
    is_error: true,
    text: 'name: must be 1 to 60 characters on one line.',
  })
})

import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { createGate } from '../../src/budgets/gate.ts'
import { verifyAudit } from '../../src/keys/audit.ts'
import { recordEvents } from '../../src/ledger/record.ts'
import { event, request, subject } from '../budgets/fixture.ts'
import { connectUpstream, NOW, openToolApp, type ToolApp } from './fixture.ts'

const month = { scope: 'all', period: 'month', limit_usd: '10', action: 'block' }

async function spend({ app }: ToolApp, cost_nanos: bigint, given: object = {}) {
  const gate = await createGate(app)
  const admission = await gate.admit(request(cost_nanos, { subject: subject(given) }))
  if (admission.kind === 'denied') throw new Error(admission.reason)
  const booked = event(`spend_${cost_nanos}`, 0, { ...given, reported_cost_nanos: cost_nanos })
  await gate.settle({ hold_id: admission.hold_id, event: booked, cost_nanos })
  await gate.close()
}

test('set_budget creates, changes by name, and says what it does', async () => {
  const tools = await openToolApp()
  const { call, app } = tools
  const made = await call('set_budget', { ...month, name: 'team' })
  expect(made).toMatchObject({ is_error: false, data: { state: 'created' } })
  expect(made.text).toContain('"team": $10.00 a month for everything.')
  await spend(tools, 2_500_000_000n)
  const changed = await call('set_budget', { budget: 'Team', limit_usd: 5 })
  expect(changed.data).toMatchObject({
    state: 'changed',
    limit_usd: '5.000000000',
    spent_usd: '2.500000000',
    remaining_usd: '2.500000000',
  })
  expect(await verifyAudit(app.db)).toBeUndefined()
})

test('set_budget says when nothing known is in the scope: a slip would be a limit that stops nothing', async () => {
  const { call } = await openToolApp()
  const of = async (scope: string, scope_value: string) =>
    (await call('set_budget', { ...month, scope, scope_value })).text
  expect(await of('provider', 'opneai')).toContain('closest: openai')
  expect(await of('model', 'gtp-5*')).toContain('No model known so far is called "gtp-5*"')
  expect(await of('model', 'openai/gpt-5')).toContain('closest: gpt-5')
  for (const text of [await of('provider', 'OpenAI'), await of('model', 'claude-*')])
    expect(text).not.toContain('known so far')
})

test('removing a budget takes two calls', async () => {
  const { call } = await openToolApp()
  await call('set_budget', { ...month, name: 'team' })
  const planned = await call('set_budget', { budget: 'team', remove: true })
  expect(planned.text).toContain('Would remove the budget "team"')
  expect((await call('check_budget')).data['budgets']).toHaveLength(1)
  const { plan_id } = planned.data
  expect(planned.text).toContain(String(plan_id))
  const done = await call('set_budget', { plan_id })
  expect(done.data).toMatchObject({ state: 'removed' })
  const empty = await call('check_budget')
  expect(empty.data['budgets']).toEqual([])
  expect(empty.text).toContain('set_budget makes one')
  expect(await call('set_budget', { plan_id })).toMatchObject({ is_error: true })
})

test.each([
  [{ ...month, scope: 'modle' }, 'closest: model'],
  [{ ...month, scope: 'model' }, 'scope_value'],
  [{ ...month, period: 'fortnight' }, 'rolling_<n>h'],
  [{ ...month, limit_usd: 'ten' }, 'US dollars'],
  [{ ...month, timezone: 'Mars' }, 'Europe/Berlin'],
  [{ scope: 'all' }, 'needs period, limit_usd'],
  [{ budget: 'nobody', limit_usd: '1' }, 'There is no budget "nobody"'],
  [{ ...month, scope: 'wrapped_key', scope_value: 'k' }, 'no wrapped key "k"'],
])('a bad argument of set_budget is told with what it takes: %o', async (args, message) => {
  const { call } = await openToolApp()
  const answer = await call('set_budget', args)
  expect(answer.is_error).toBe(true)
  expect(answer.text).toContain(message)
})

test('check_budget tells spent, held, remaining, reset and rate', async () => {
  const tools = await openToolApp()
  await tools.call('set_budget', { ...month, name: 'team' })
  await spend(tools, 9_000_000_000n)
  const gate = await createGate(tools.app)
  await gate.admit(request(500_000_000n))
  const { data, text } = await tools.call('check_budget', { budget: 'team' })
  expect(data['budgets']).toMatchObject([
    {
      spent_usd: '9.000000000',
      held_usd: '0.500000000',
      remaining_usd: '0.500000000',
      used_percent: 95,
      state: 'near',
      resets_at: '2026-12-01T00:00:00.000Z',
    },
  ])
  expect(text).toContain('team: $9.00 spent and $0.50 held of $10.00 (95 %), $0.50 left')
  expect(text).toContain('at this rate used up 2026-11-')
  expect(text).toContain('around the proxy')
  await gate.close()
})

test('a notifying budget counts all sources, each session for itself', async () => {
  const tools = await openToolApp()
  const { app, call } = tools
  await call('set_budget', {
    scope: 'session',
    scope_value: '*',
    period: 'day',
    limit_usd: '1',
    name: 'sessions',
  })
  const of = (id: string, session_id: string, cost: bigint) =>
    event(id, 0, { source: 'local_log', session_id, reported_cost_nanos: cost })
  const all = [
    of('a', 's1', 300_000_000n),
    of('b', 's1', 600_000_000n),
    of('c', 's2', 100_000_000n),
  ]
  await recordEvents(app.db, await app.catalog(), all, NOW)
  const { data } = await call('check_budget')
  expect(data['budgets']).toMatchObject([
    {
      member: 's1',
      spent_usd: '0.900000000',
      state: 'near',
      counts: expect.stringContaining('all'),
    },
  ])
})

test('check_budget says whether a request can be afforded, and what would be cheaper', async () => {
  const tools = await openToolApp()
  const { call } = tools
  await call('set_budget', { ...month, name: 'team', limit_usd: '0.04' })
  const ask = { model: 'gpt-5', input_tokens: 1_000, output_tokens: 1_000 }
  const yes = await call('check_budget', ask)
  expect(yes.data['afford']).toMatchObject({
    verdict: 'yes',
    provider: 'openai',
    expected_usd: '0.011250000',
    requests_left: 1,
    bound_by: ['team'],
  })
  // At list price it would fit; without a tier it can come under priority, and is held at that.
  await call('set_budget', { budget: 'team', limit_usd: '0.02' })
  expect((await call('check_budget', ask)).data['afford']).toMatchObject({ verdict: 'no' })
  const no = await call('check_budget', { ...ask, output_tokens: 3_000 })
  expect(no.text).toContain('without one, by the longest answer')
  expect(no.data['afford']).toMatchObject({ verdict: 'no', requests_left: 0 })
  expect(no.text).toMatch(/^No: one request to gpt-5 costs about \$0\.03/)
  expect(no.text).toMatch(/Cheaper: gpt-5/)
  expect(no.text).not.toMatch(/image|ft:|gpt-3/)
  const unknown = await call('check_budget', { model: 'gpt-55' })
  expect(unknown).toMatchObject({ is_error: true, text: expect.stringContaining('Closest: ') })
})

test('check_budget answers for the wrapped key: its own use, what it opens, whether it works', async () => {
  const tools = await openToolApp()
  const { call } = tools
  await connectUpstream(tools, 'anthropic')
  const make = async (name: string, more: object = {}) => {
    const { data } = await call('create_wrapped_key', { name, reveal: 'inline', ...more })
    return String(data['id'])
  }
  const busy = await make('busy')
  const idle = await make('idle', { models: ['claude-sonnet-*'], tags: { team: 'search' } })
  await call('set_budget', { ...month, name: 'each', scope: 'wrapped_key', scope_value: '*' })
  const team = { ...month, name: 'team', scope: 'tag', scope_value: 'team=search' }
  await call('set_budget', team)
  await spend(tools, 4_000_000_000n, { wrapped_key: busy })
  await spend(tools, 1_000_000_000n, { wrapped_key: idle })

  const { data, text } = await call('check_budget', { wrapped_key: 'idle' })
  expect(data['budgets']).toMatchObject([
    { name: 'each', member: idle, key_name: 'idle', spent_usd: '1.000000000' },
    { name: 'team' },
  ])
  expect(text).toContain('each (idle): $1.00 spent of $10.00')
  expect(text).not.toContain('member that used most')
  const { keys } = (await call('list_keys')).data as { keys: object[] }
  expect(keys).toMatchObject([
    { name: 'busy', budgets: [{ name: 'each', spent_usd: '4.000000000' }] },
    { name: 'idle', budgets: [{ name: 'each', spent_usd: '1.000000000' }, { name: 'team' }] },
  ])

  const ask = { wrapped_key: 'idle', input_tokens: 1_000, output_tokens: 500 }
  const open = await call('check_budget', { ...ask, model: 'claude-sonnet-4-5' })
  expect(open.data['afford']).toMatchObject({
    verdict: 'yes',
    cheaper: [{ model: 'claude-sonnet-5' }],
  })
  for (const model of ['claude-opus-4-5', 'gpt-5']) {
    const closed = await call('check_budget', { ...ask, model })
    expect(closed.data['afford']).toMatchObject({ verdict: 'no', requests_left: 0 })
    expect(closed.text).toContain('opens anthropic (claude-sonnet-*): the proxy would refuse')
  }
  await call('update_wrapped_key', { key: 'idle', action: 'pause' })
  const paused = await call('check_budget', { ...ask, model: 'claude-sonnet-4-5' })
  expect(paused.data['afford']).toMatchObject({ verdict: 'no', cheaper: [] })
  expect(paused.text).toContain('The key "idle" is paused')
})

test('check_budget names every budget that stands in the way, whichever is asked for', async () => {
  const tools = await openToolApp()
  const { call } = tools
  await call('set_budget', { ...month, name: 'full', limit_usd: 0 })
  await call('set_budget', { ...month, name: 'told', limit_usd: 0, action: 'notify' })
  await call('set_budget', { ...month, name: 'roomy' })
  await call('set_budget', { ...month, name: 'other', scope: 'model', scope_value: 'claude-*' })
  const ask = { model: 'gpt-5', input_tokens: 1_000, output_tokens: 1_000 }
  for (const budget of [undefined, 'roomy', 'other']) {
    const { data, text } = await call('check_budget', { ...ask, ...(budget ? { budget } : {}) })
    expect(data['afford']).toMatchObject({ verdict: 'no' })
    expect(text).toContain('"full" leaves $0.00, and the proxy holds')
    expect(text.includes('"other" does not count such a request')).toBe(budget === 'other')
  }
  const unpriced = await call('check_budget', { model: 'openai/gpt-77' })
  expect(unpriced.data['afford']).toMatchObject({ verdict: 'no', requests_left: 0 })
  const tokens = await call('check_budget', { input_tokens: 5 })
  expect(tokens).toMatchObject({ is_error: true, text: expect.stringContaining('model') })
})

test('a session is judged by its own requests', async () => {
  const tools = await openToolApp()
  const { app, call } = tools
  await call('set_budget', { scope: 'all', period: 'day', limit_usd: '1', action: 'block' })
  const costs = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
  const all = costs.map((cost) =>
    event(`s${cost}`, 0, {
      session_id: 'sess',
      model: 'gpt-5',
      reported_cost_nanos: BigInt(cost) * 1_000_000n,
    }),
  )
  await recordEvents(app.db, await app.catalog(), all, NOW)
  const { data } = await call('check_budget', { session: 'sess' })
  expect(data['afford']).toMatchObject({
    model: 'gpt-5',
    expected_usd: '0.050000000',
    high_usd: '0.090000000',
    basis: '10 recent requests of the session',
  })
  expect((await call('check_budget', { session: 'other' })).is_error).toBe(true)
})

test('a session is judged by what it spent itself, however many spent as much', async () => {
  const { app, call } = await openToolApp()
  const each = { scope: 'session', scope_value: '*', period: 'lifetime', action: 'block' }
  await call('set_budget', { ...each, limit_usd: '1' })
  await sql`insert into budget_spent (budget_id, member, bucket_start, spent_nanos)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 1500)
    select id, 's' || i, 0, 1000000000 from budget, n`.execute(app.db)
  const ask = { model: 'gpt-5', input_tokens: 100, output_tokens: 100 }
  for (const session of ['s1', 's750', 's1500']) {
    const { data } = await call('check_budget', { ...ask, session })
    expect(data['afford']).toMatchObject({ verdict: 'no' })
  }
  const { data } = await call('check_budget', { ...ask, session: 'new' })
  expect(data['afford']).toMatchObject({ verdict: 'yes' })
})

test('budgets can be read as resources', async () => {
  const { call, client } = await openToolApp()
  const { data } = await call('set_budget', { ...month, name: 'team' })
  for (const uri of ['outlay://budgets', `outlay://budgets/${data['id']}`]) {
    const { contents } = await client.readResource({ uri })
    expect(JSON.stringify(contents)).toContain('\\"name\\": \\"team\\"')
  }
})

test('check_budget of a key, a user or tags tells the budgets that bind them', async () => {
  const { call, ...tools } = await openToolApp()
  await connectUpstream({ call, ...tools })
  const key = { name: 'ci', user: 'ada', tags: { team: 'search' }, budget_usd: '5' }
  await call('create_wrapped_key', { ...key, reveal: 'inline' })
  const month = { period: 'month', limit_usd: '10' }
  await call('set_budget', { ...month, name: 'everything', scope: 'all' })
  await call('set_budget', { ...month, name: 'ada', scope: 'user', scope_value: 'ada' })
  await call('set_budget', { ...month, name: 'bob', scope: 'user', scope_value: 'bob' })
  await call('set_budget', { ...month, name: 'ads', scope: 'tag', scope_value: 'team=ads' })
  const names = async (args: object) => {
    const { data } = await call('check_budget', args)
    return (data['budgets'] as { name: string }[]).map(({ name }) => name).sort()
  }
  expect(await names({ wrapped_key: 'ci' })).toEqual(['ada', 'everything', 'key ci'])
  expect(await names({ user: 'bob' })).toEqual(['bob', 'everything'])
  expect(await names({ tags: { team: 'ads' } })).toEqual(['ads', 'everything'])
  expect(await names({})).toHaveLength(5)
})

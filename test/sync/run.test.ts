import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { DAY_MS, HOUR_MS } from '../../src/clock.ts'
import { jobs } from '../../src/jobs/index.ts'
import { reportStatus } from '../../src/jobs/status.ts'
import { syncConnections } from '../../src/jobs/sync.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import type { Basis, GroupBy } from '../../src/ledger/spend-query.ts'
import { resolvePeriod } from '../../src/period.ts'
import {
  ADMIN_KEY,
  createOrganization,
  type FakeOrganization,
  startFakeAnthropic,
} from '../helpers/fake-anthropic.ts'
import { openTestApp, type TestApp } from '../helpers/open-test-app.ts'

const NOW = Date.parse('2026-11-20T15:30:00Z')
const OLD_DAY = '2026-10-28'

async function start(given: Partial<FakeOrganization> = {}, key = ADMIN_KEY) {
  const organization = createOrganization(NOW, given)
  const provider = await startFakeAnthropic(organization)
  const opened = await openTestApp(NOW, {
    ANTHROPIC_ADMIN_KEY: key,
    OUTLAY_ANTHROPIC_ADMIN_BASE_URL: provider.url,
  })
  const at = (now: number) => {
    opened.clock.set(now)
    organization.now = now
  }
  return { ...opened, organization, provider, at }
}

function sync({ app }: TestApp, options: { is_forced?: boolean; since?: number } = {}) {
  return syncConnections(app, {
    is_forced: true,
    is_background: false,
    signal: AbortSignal.timeout(20_000),
    ...options,
  })
}

async function spend(
  { app, clock }: TestApp,
  { basis = 'billed', group_by = [] }: { basis?: Basis; group_by?: GroupBy[] } = {},
) {
  return answerSpend(app.db, {
    period: resolvePeriod({ from: '2025-09-01', to: '2027-01-01' }, clock.now(), 'UTC'),
    group_by,
    filter: {},
    basis,
    compare: false,
    limit: 50,
    now: clock.now(),
  })
}

const cost = async (one: TestApp) => (await spend(one)).total.cost_usd

test('a page that is sent twice is not counted twice', async () => {
  const one = await start({ has_analytics: false })
  for (let day = 21; day <= 29; day++)
    one.organization.cost.set(`2026-10-${day}`, [{ cents: '100' }])
  const query = 'starting_at=2026-10-21T00:00:00.000Z&ending_at=2026-11-21T00:00:00.000Z'
  const headers = { 'x-api-key': ADMIN_KEY }
  const url = `${one.provider.url}/v1/organizations/cost_report?${query}`
  const first = (await (await fetch(url, { headers })).json()) as object
  one.provider.next(/cost_report/, { json: { ...first, next_page: '0' } })
  const [outcome] = await sync(one)
  expect(outcome?.failures).toMatchObject([{ stream: 'cost' }])
  expect(await cost(one)).toBe('0.000000000')
  await sync(one)
  expect(await cost(one)).toBe('9.000000000')
})

test('a row that slides onto the next page while it is read counts once', async () => {
  const one = await start()
  const rows = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => ({ key: `apikey_0${n}`, cents: '100' }))
  one.organization.cost.set('2026-11-19', rows)
  const path = '/v1/organizations/analytics/cost'
  const group = { api_key_id: 'apikey_01', cost_type: 'tokens', token_type: 'output_tokens' }
  const row = {
    starting_at: '2026-11-19T00:00:00.000Z',
    group: { ...group, model: 'm', workspace_id: null, service_tier: null, actor: null },
    cost: { amount: '100', currency: 'USD' },
  }
  const other = { ...row, group: { ...row.group, api_key_id: 'apikey_02' } }
  one.provider.next(
    new RegExp(path),
    { json: { data: [row], has_more: true, next_page: 'a' } },
    { json: { data: [row, other], has_more: false, next_page: null } },
  )
  const [outcome] = await sync(one)
  expect(outcome?.failures).toEqual([])
  expect(await cost(one)).toBe('2.000000000')
})

test('rows that could not be read come in once they can, however old they are', async () => {
  const one = await start()
  one.organization.cost.set(OLD_DAY, [{ cents: '100' }, { key: 'apikey_02', cents: 'twelve' }])
  one.organization.cost.set('2026-11-19', [{ cents: '1' }])
  await sync(one)
  expect(await cost(one)).toBe('1.010000000')
  const { problems } = await reportStatus(one.app)
  expect(problems).toEqual([
    '1 row of anthropic cost could not be read and is left out (amount: not a decimal number). They are asked for again until they can be read; if that lasts, a newer Outlay may know them.',
  ])
  one.organization.cost.set(OLD_DAY, [{ cents: '100' }, { key: 'apikey_02', cents: '12' }])
  await sync(one)
  expect(await cost(one)).toBe('1.130000000')
  expect((await reportStatus(one.app)).problems).toEqual([])
})

test('an emptied day keeps its figures until a second read an hour later says the same', async () => {
  const one = await start()
  one.organization.cost.set('2026-11-12', [{ cents: '100' }])
  await sync(one)
  one.organization.cost.clear()
  one.at(NOW + DAY_MS) // the daily deep read finds it empty
  await sync(one)
  expect(await cost(one)).toBe('1.000000000')
  expect((await reportStatus(one.app)).problems).toEqual([
    'anthropic cost reports nothing any more for 1 bucket that had figures (2026-11-12). They stay until a second read, an hour later, says the same.',
  ])
  one.at(NOW + DAY_MS + HOUR_MS / 2)
  await sync(one)
  expect(await cost(one)).toBe('1.000000000')
  one.at(NOW + DAY_MS + HOUR_MS)
  await sync(one)
  expect(await cost(one)).toBe('0.000000000')
  expect((await reportStatus(one.app)).problems).toEqual([])
})

test('a change days after the fact is told, with what was said before', async () => {
  const one = await start()
  one.organization.cost.set('2026-11-14', [{ cents: '100' }])
  await sync(one)
  one.at(NOW + DAY_MS)
  one.organization.cost.set('2026-11-14', [{ cents: '80' }, { key: 'apikey_02', cents: '7.5' }])
  await sync(one)
  const { total, notes } = await spend(one)
  expect(total.cost_usd).toBe('0.875000000')
  expect(notes).toContain(
    'anthropic changed the cost of 1 day of this period more than 3 days afterwards, by -$0.12 in all (last seen 2026-11-21).',
  )
  const { rows } =
    await sql`select before_json, after_json from bucket_revision order by id`.execute(one.app.db)
  expect(rows).toEqual([
    {
      before_json: '{"amount_nanos":"1000000000","list_nanos":"1000000000","currency":"usd"}',
      after_json: '{"amount_nanos":"800000000","list_nanos":"800000000","currency":"usd"}',
    },
    {
      before_json: 'null',
      after_json: '{"amount_nanos":"75000000","list_nanos":"75000000","currency":"usd"}',
    },
  ])
})

test('when the report generation changes, a day with unreadable rows is not counted twice', async () => {
  const one = await start()
  one.organization.cost.set('2026-11-19', [{ key: 'apikey_01', cents: '100' }])
  await sync(one)
  one.organization.has_analytics = false
  one.organization.cost.set('2026-11-19', [{ cents: '90' }, { cents: 'ten', model: 'other' }])
  await sync(one)
  expect(await cost(one)).toBe('0.900000000')
})

test('older than any report of the organisation, the backfill ends without a failure', async () => {
  const one = await start({ has_legacy: false })
  one.organization.cost.set('2026-01-02', [{ cents: '100' }])
  const [outcome] = await sync(one, { since: Date.parse('2025-10-01T00:00:00Z') })
  expect(outcome?.failures).toEqual([])
  const { connections, problems } = await reportStatus(one.app)
  expect(problems).toEqual([])
  expect(connections[0]?.streams.find(({ stream }) => stream === 'cost')).toMatchObject({
    status: 'ok',
    read_from: '2026-01-01',
    backfill_percent: 100,
  })
  expect(await cost(one)).toBe('1.000000000')
})

test('a refused key is told with the kind that is needed, and is not tried every second', async () => {
  const one = await start({}, 'sk-ant-admin01-wrong')
  const [outcome] = await sync(one, { is_forced: false })
  const problem =
    'Anthropic does not accept the key any more. Needed: an Admin API key (sk-ant-admin01-…). Make one at https://console.anthropic.com/settings/admin-keys and run: outlay connect anthropic'
  expect(outcome?.failures).toEqual([{ stream: 'all', problem }])
  const status = await reportStatus(one.app)
  expect(status.connections[0]?.state).toBe('needs_attention')
  expect(status.problems.join()).toContain(problem)
  expect(JSON.stringify(status)).not.toContain('sk-ant-admin01-wrong')
  const job = jobs.find(({ name }) => name === 'sync')
  expect(await job?.isDue(one.app)).toBe(false)
  const asked = one.provider.requests.length
  await sync(one, { is_forced: false })
  expect(one.provider.requests.length).toBe(asked)
  one.at(NOW + HOUR_MS)
  expect(await job?.isDue(one.app)).toBe(true)
})

test('"slow down" pauses the whole connection for as long as was asked', async () => {
  const one = await start()
  one.provider.next(/analytics\/cost/, { status: 429, headers: { 'retry-after': '300' } })
  const [outcome] = await sync(one)
  expect(outcome?.failures).toEqual([
    {
      stream: 'cost',
      problem: 'Anthropic asked to slow down; the sync goes on by itself in 300 s.',
    },
  ])
  const last = one.provider.requests.at(-1)?.path
  expect(last).toBe('/v1/organizations/analytics/cost')
  const asked = one.provider.requests.length
  await sync(one, { is_forced: false })
  expect(one.provider.requests.length).toBe(asked)
  one.at(NOW + 301_000)
  await sync(one, { is_forced: false })
  expect(one.provider.requests.length).toBeGreaterThan(asked)
})

test('a server in trouble that asks for a long wait is left alone, not waited for', async () => {
  const one = await start()
  one.provider.next(/analytics\/cost/, { status: 503, headers: { 'retry-after': '600' } })
  const [outcome] = await sync(one)
  expect(outcome?.failures).toMatchObject([{ stream: 'cost' }])
  const stream = await one.app.db
    .selectFrom('sync_stream')
    .select('next_due_at')
    .where('stream', '=', 'cost')
    .executeTakeFirstOrThrow()
  expect(stream.next_due_at).toBe(NOW + 600_000)
})

test('a clock that was set right is not complained of any longer', async () => {
  const one = await start()
  one.provider.next(/./, {
    json: { id: 'org', name: 'Org' },
    headers: { date: new Date(NOW + HOUR_MS).toUTCString() },
  })
  await sync(one)
  await expect.poll(async () => (await reportStatus(one.app)).problems).toEqual([])
})

test('a key that was read before is not given up because who it belongs to cannot be asked', async () => {
  const one = await start()
  one.organization.cost.set('2026-11-19', [{ cents: '100' }])
  await sync(one)
  one.organization.cost.set('2026-11-19', [{ cents: '90' }])
  const down = { status: 500 }
  one.provider.next(/organizations\/me$/, down, down, down, down, down)
  const [outcome] = await sync(one)
  expect(outcome?.failures).toEqual([])
  expect(await cost(one)).toBe('0.900000000')
})

test('a key that may not read names reads every figure, and that is no failure', async () => {
  const one = await start()
  one.organization.cost.set('2026-11-19', [{ cents: '100' }])
  one.provider.next(/organizations\/api_keys$/, { status: 403 })
  const [outcome] = await sync(one)
  expect(outcome?.failures).toEqual([])
  const { connections, problems } = await reportStatus(one.app)
  expect(connections[0]?.state).toBe('ok')
  expect(problems).toEqual([
    'anthropic "environment" (directory): The key reads usage and cost at Anthropic, but no names: keys, people and projects are shown by their ids. For names it takes an Admin API key (sk-ant-admin01-…).',
  ])
  expect(await cost(one)).toBe('1.000000000')
})

test('fields that nothing needs may be missing; a count that no row can have is left out', async () => {
  const one = await start()
  const row = (input: number) => ({
    starting_at: '2026-11-19T10:00:00Z',
    group: { model: `model-${input}` },
    usage: { uncached_input_tokens: input, output_tokens: 0 },
  })
  const data = [row(700), row(8e15), row(9e15)]
  one.provider.next(/analytics\/usage/, { json: { data, has_more: false, next_page: null } })
  const [outcome] = await sync(one)
  expect(outcome?.failures).toEqual([])
  expect((await spend(one)).total.input_tokens).toBe(700)
  expect((await reportStatus(one.app)).problems.join()).toMatch(
    /^2 rows of anthropic usage could not be read and are left out \(usage\.uncached_input_tokens: too_big\)/,
  )
})

test('a clock that was ahead and is set back holds up no sync', async () => {
  const one = await start()
  const job = jobs.find(({ name }) => name === 'sync')
  one.at(NOW + 3 * DAY_MS)
  await sync(one, { is_forced: false })
  expect(await job?.isDue(one.app)).toBe(false)

  one.at(NOW)
  one.organization.cost.set('2026-11-19', [{ cents: '100' }])
  expect(await job?.isDue(one.app)).toBe(true)
  await sync(one, { is_forced: false })
  expect(await cost(one)).toBe('1.000000000')
  expect(await job?.isDue(one.app)).toBe(false)
})

test('and a key that is refused by then is not tried every second either', async () => {
  const one = await start()
  one.at(NOW + 3 * DAY_MS)
  await sync(one)
  one.at(NOW)
  one.provider.next(/./, { status: 401 })
  await sync(one, { is_forced: false })
  expect(await jobs.find(({ name }) => name === 'sync')?.isDue(one.app)).toBe(false)
})

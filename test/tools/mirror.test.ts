import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { HOUR_MS } from '../../src/clock.ts'
import { mirrorJob } from '../../src/jobs/mirror.ts'
import { verifyAudit } from '../../src/keys/audit.ts'
import { saveConnection } from '../../src/keys/connection.ts'
import { Secret } from '../../src/secret.ts'
import { NOW, openToolApp, type ToolApp } from './fixture.ts'

type Limits = Map<string, number>
type Seen = { method: string; url: string; body: unknown; headers: NodeJS.Dict<string | string[]> }

/** Both providers' limits, by `openai`, `openai proj_x`, `anthropic` and `anthropic wrkspc_x`. */
async function startAdmin({ refuses = false } = {}) {
  const limits: Limits = new Map()
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.once('end', () => {
      const { method = '', url = '', headers } = request
      const body = JSON.parse(Buffer.concat(chunks).toString() || 'null')
      seen.push({ method, url, body, headers })
      const answer = refuses
        ? undefined
        : url.startsWith('/v1/organizations')
          ? anthropic(limits, method, url, body)
          : openai(limits, method, url, body)
      const status = refuses ? 403 : answer === undefined ? 404 : 200
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer ?? { error: { message: 'no' } }))
    })
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onTestFinished(() => void server.close())
  return { limits, seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function openai(limits: Limits, method: string, url: string, body: { threshold_amount: number }) {
  const project = /projects\/(\w+)\/spend_limit$/.exec(url)?.[1]
  const place = project ? `openai ${project}` : 'openai'
  if (method === 'POST') limits.set(place, body.threshold_amount)
  if (method === 'DELETE') limits.delete(place)
  const threshold_amount = limits.get(place)
  if (method === 'DELETE') return { deleted: true }
  return threshold_amount === undefined
    ? undefined
    : { threshold_amount, currency: 'USD', interval: 'month', enforcement: { status: 'inactive' } }
}

type Scope = { type: string; workspace_id?: string }

function anthropic(
  limits: Limits,
  method: string,
  url: string,
  body: { amount: string; scope: Scope },
) {
  if (method === 'POST') {
    const { workspace_id } = body.scope
    limits.set(workspace_id ? `anthropic ${workspace_id}` : 'anthropic', Number(body.amount))
    return { id: 'spl_1', ...body, currency: 'USD', period: 'monthly' }
  }
  if (method === 'DELETE') {
    limits.delete(decodeURIComponent(/spl_(.+)\?/.exec(url)?.[1] ?? '').replace('~', ' '))
    return {}
  }
  const data = [...limits].map(([place, cents]) => {
    const workspace_id = place.split(' ')[1]
    const scope = workspace_id ? { type: 'workspace', workspace_id } : { type: 'organization' }
    const id = `spl_${place.replace(' ', '~')}`
    return { id, amount: String(cents), currency: 'USD', period: 'monthly', scope }
  })
  return { data, next_page: null }
}

async function connect({ app }: ToolApp, provider: string, base_url: string): Promise<string> {
  const { id } = await saveConnection(app.db, app.sealer, {
    provider,
    name: undefined,
    base_url,
    key: new Secret(`${provider}-admin-key-0123456789`),
    organization: { id: `org_${provider}`, name: null },
    at: NOW,
    actor: 'test',
  })
  return id
}

async function nameWorkspace({ app }: ToolApp, connection_id: string, id: string, name: string) {
  const entry = {
    connection_id,
    kind: 'workspace',
    id,
    name,
    is_default: 0,
    observed_at: NOW,
  } as const
  await app.db.insertInto('directory_entry').values(entry).execute()
}

const month = { period: 'month', limit_usd: '25', action: 'block', mirror: true }

test.each([
  ['openai', 'proj_app', '/organization/projects/proj_app/spend_limit'],
  ['anthropic', 'wrkspc_app', '/v1/organizations/spend_limits?beta=true'],
])(
  'a budget of an %s workspace is mirrored, followed, and taken back',
  async (provider, workspace, path) => {
    const admin = await startAdmin()
    const tools = await openToolApp()
    const { call, app, clock } = tools
    const connection = await connect(tools, provider, admin.url)
    await nameWorkspace(tools, connection, workspace, 'App')
    const place = `${provider} ${workspace}`
    admin.limits.set(place, 9_000)

    const scope = { scope: 'workspace', scope_value: 'App', name: 'app' }
    const made = await call('set_budget', { ...month, ...scope })
    expect(made.text).toContain(`${workspace} stops at $25.00 a month as well (it was $90.00)`)
    expect(admin.limits.get(place)).toBe(2_500)
    expect(admin.seen.find(({ method }) => method === 'POST')?.url).toBe(path)
    const told = async () => (await call('check_budget', { budget: 'app' })).text
    expect(await told()).toContain("the provider's own limit is $25.00 a month.")

    // A new limit goes there too; what somebody changes there is seen within the hour.
    await call('set_budget', { budget: 'app', limit_usd: '30.001' })
    expect(admin.limits.get(place)).toBe(3_001)
    admin.limits.set(place, 50_000)
    expect(await mirrorJob.isDue(app)).toBe(false)
    clock.set(NOW + 2 * HOUR_MS)
    expect(await mirrorJob.isDue(app)).toBe(true)
    await mirrorJob.run(app, app.closing)
    expect(await told()).toContain(
      "the provider's own limit is $500.00 a month, and $30.01 was set",
    )
    const { data } = await call('check_budget', { budget: 'app' })
    expect(data['budgets']).toMatchObject([
      { provider_limit_usd: '500.000000000', provider_limit_drift_usd: '469.990000000' },
    ])

    const undone = await call('set_budget', { budget: 'app', mirror: false })
    expect(undone.text).toContain('has no limit of its own any more')
    expect(admin.limits.size).toBe(0)
    expect(await told()).not.toContain('own limit')
    expect(await verifyAudit(app.db)).toBeUndefined()
    const said = JSON.stringify(await app.db.selectFrom('audit').selectAll().execute())
    expect(said).toContain('budget.mirror')
    expect(said).not.toContain('admin-key-0123456789')
  },
)

test('a budget of a provider is its organisation’s limit', async () => {
  const admin = await startAdmin()
  const tools = await openToolApp()
  await connect(tools, 'openai', admin.url)
  await tools.call('set_budget', { ...month, scope: 'provider', scope_value: 'openai' })
  expect([...admin.limits]).toEqual([['openai', 2_500]])
})

test.each([
  [{ scope: 'all' }, 'needs the scope provider or workspace'],
  [{ scope: 'provider', scope_value: 'openai', period: 'day' }, 'needs the period month'],
  [{ scope: 'provider', scope_value: 'google' }, 'No admin key of google is connected'],
  [{ scope: 'provider', scope_value: 'openrouter' }, 'has no limit of its own'],
  [{ scope: 'workspace', scope_value: 'Nowhere' }, 'No connected provider has a workspace'],
  [{ scope: 'provider', scope_value: 'anthropic' }, 'early access'],
])('%o cannot be mirrored: the budget is made, and it is said why', async (given, why) => {
  const admin = await startAdmin({ refuses: true })
  const tools = await openToolApp()
  for (const provider of ['openai', 'anthropic', 'openrouter'])
    await connect(tools, provider, admin.url)
  const { text, is_error, data } = await tools.call('set_budget', { ...month, ...given })
  expect(is_error).toBe(false)
  expect(data['state']).toBe('created')
  expect(text).toContain("The provider's own limit was not set.")
  expect(text).toContain(why)
  expect(text).not.toContain('admin-key-0123456789')
})

import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { DAY_MS, floorTo, HOUR_MS, isoTime } from '../clock.ts'
import { chatProvider } from './agent.ts'
import { type Hour, listHours, NAMES, nanosOf, STREAMS } from './traffic.ts'

/** The provider APIs on loopback, with made-up traffic: just what a sync asks for, in the documented shapes. */
export async function startDemoProvider(
  now: number,
): Promise<{ url: string; close(): Promise<void> }> {
  const app = new Hono()
  app.route('/anthropic', anthropic(now))
  app.route('/openai/v1', openai(now))
  app.route('/openai/v1', chatProvider())
  app.notFound((c) => c.json({ data: [], has_more: false, next_page: null }))
  const server = createServer(getRequestListener(app.fetch))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

type Range = { readonly start: number; readonly end: number }

/** https://platform.claude.com/docs/en/manage-claude/usage-cost-analytics-api */
function anthropic(now: number): Hono {
  const page = (data: unknown[]) => ({
    data,
    has_more: false,
    next_page: null,
    data_refreshed_at: isoTime(now),
  })
  const list = (data: unknown[]) => ({ data, has_more: false, first_id: null, last_id: null })
  const range = (query: (name: string) => string | undefined): Range => ({
    start: Date.parse(query('starting_at') ?? ''),
    end: Date.parse(query('ending_at') ?? ''),
  })
  return new Hono()
    .get('/v1/organizations/me', (c) =>
      c.json({ id: 'demo-org', name: 'Demo Foundry (simulated)', type: 'organization' }),
    )
    .get('/v1/organizations/analytics/usage', (c) =>
      c.json(
        page(
          listHours(
            'anthropic',
            range((name) => c.req.query(name)),
            now,
          ).map(usageRow),
        ),
      ),
    )
    .get('/v1/organizations/analytics/cost', (c) =>
      c.json(
        page(
          costRows(
            listHours(
              'anthropic',
              range((name) => c.req.query(name)),
              now,
            ),
          ),
        ),
      ),
    )
    .get('/v1/organizations/workspaces', (c) => c.json(list(named('wrkspc_', workspaceRow))))
    .get('/v1/organizations/api_keys', (c) => c.json(list(named('apikey_', keyRow))))
    .get('/v1/organizations/users', (c) => c.json(list([])))
    .get('/v1/organizations/service_accounts', (c) => c.json({ data: [], next_page: null }))
    .get('/v1/organizations/usage_report/claude_code', (c) =>
      c.json({ data: [], has_more: false, next_page: null }),
    )
}

function group({ stream }: Hour) {
  return {
    model: stream.model,
    api_key_id: stream.key,
    workspace_id: stream.workspace,
    service_tier: 'standard',
    actor: { type: 'api_actor', api_key_id: stream.key },
  }
}

function usageRow(hour: Hour) {
  const [input, cached, output] = hour.tokens
  return {
    starting_at: isoTime(hour.at),
    ending_at: isoTime(hour.at + HOUR_MS),
    group: group(hour),
    usage: {
      uncached_input_tokens: input,
      output_tokens: output,
      cache_read_input_tokens: cached,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
      server_tool_use: { web_search_requests: 0 },
      total_tokens: input + cached + output,
      requests: hour.requests,
    },
  }
}

const TOKEN_TYPES = ['uncached_input_tokens', 'cache_read_input_tokens', 'output_tokens'] as const

/** One row a day, key and token type, in cents. */
function costRows(hours: readonly Hour[]) {
  const days = Map.groupBy(hours, ({ at, stream }) => `${floorTo(at, DAY_MS)} ${stream.key}`)
  return [...days.values()].flatMap((ones) => {
    const [first] = ones
    if (!first) return []
    const day = floorTo(first.at, DAY_MS)
    return TOKEN_TYPES.map((token_type, part) => {
      const nanos = ones.reduce((sum, hour) => sum + nanosOf(hour, part as 0 | 1 | 2), 0n)
      const amount = cents(nanos)
      return {
        starting_at: isoTime(day),
        ending_at: isoTime(day + DAY_MS),
        group: { ...group(first), cost_type: 'tokens', token_type },
        cost: { amount, list_amount: amount, currency: 'USD', requests: null },
      }
    })
  })
}

function cents(nanos: bigint): string {
  const digits = nanos.toString().padStart(8, '0')
  return `${digits.slice(0, -7)}.${digits.slice(-7)}`
}

function named<Row>(prefix: string, row: (id: string, name: string) => Row): Row[] {
  return Object.entries(NAMES)
    .filter(([id]) => id.startsWith(prefix))
    .map(([id, name]) => row(id, name))
}

function workspaceRow(id: string, name: string) {
  return { id, type: 'workspace', name, created_at: '2026-01-01T00:00:00Z', archived_at: null }
}

function keyRow(id: string, name: string) {
  const workspace_id = STREAMS.find(({ key }) => key === id)?.workspace
  const scope = { type: 'workspace', workspace_id }
  return { id, type: 'api_key', name, status: 'active', created_at: '2026-01-01T00:00:00Z', scope }
}

/** https://platform.openai.com/docs/api-reference/usage */
function openai(now: number): Hono {
  const page = (data: unknown[]) => ({ object: 'page', data, has_more: false, next_page: null })
  const list = (data: unknown[]) => ({
    object: 'list',
    data,
    has_more: false,
    first_id: null,
    last_id: null,
  })
  const range = (query: (name: string) => string | undefined): Range => ({
    start: Number(query('start_time')) * 1000,
    end: query('end_time') === undefined ? now : Number(query('end_time')) * 1000,
  })
  return new Hono()
    .get('/organization/usage/completions', (c) =>
      c.json(
        page(
          listHours(
            'openai',
            range((name) => c.req.query(name)),
            now,
          ).map(completionsBucket),
        ),
      ),
    )
    .get('/organization/usage/:kind', (c) => c.json(page([])))
    .get('/organization/costs', (c) =>
      c.json(
        page(
          costBuckets(
            listHours(
              'openai',
              range((name) => c.req.query(name)),
              now,
            ),
          ),
        ),
      ),
    )
    .get('/organization/projects', (c) =>
      c.json(
        list(
          named('proj_', (id, name) => ({
            id,
            object: 'organization.project',
            name,
            status: 'active',
            created_at: 1_767_225_600,
            archived_at: null,
          })),
        ),
      ),
    )
    .get('/organization/projects/:id/api_keys', (c) => c.json(list(projectKeys(c.req.param('id')))))
    .get('/organization/users', (c) => c.json(list([])))
}

function projectKeys(project: string) {
  return STREAMS.filter(({ workspace }) => workspace === project).map(({ key }) => ({
    id: key,
    object: 'organization.project.api_key',
    name: NAMES[key as keyof typeof NAMES],
    redacted_value: 'sk-proj-********demo',
    created_at: 1_767_225_600,
    last_used_at: null,
    owner_project_access: 'active',
    owner: {
      type: 'service_account',
      service_account: { id: 'svc-demo', name: 'demo', role: 'member' },
    },
  }))
}

function bucket(start: number, width_ms: number, results: unknown[]) {
  return {
    object: 'bucket',
    start_time: start / 1000,
    end_time: (start + width_ms) / 1000,
    results,
  }
}

function completionsBucket(hour: Hour) {
  const [input, cached, output] = hour.tokens
  return bucket(hour.at, HOUR_MS, [
    {
      object: 'organization.usage.completions.result',
      input_tokens: input + cached,
      input_uncached_tokens: input,
      input_cached_tokens: cached,
      input_cache_write_tokens: 0,
      output_tokens: output,
      num_model_requests: hour.requests,
      project_id: hour.stream.workspace,
      user_id: null,
      api_key_id: hour.stream.key,
      model: hour.stream.model,
      batch: false,
      service_tier: 'default',
    },
  ])
}

const COMPONENTS = ['input_tokens', 'cached_input_tokens', 'output_tokens'] as const

function costBuckets(hours: readonly Hour[]) {
  const days = Map.groupBy(hours, ({ at }) => floorTo(at, DAY_MS))
  return [...days].map(([day, ones]) => {
    const keys = Map.groupBy(ones, ({ stream }) => stream)
    const results = [...keys].flatMap(([stream, own]) =>
      COMPONENTS.map((component, part) => ({
        object: 'organization.costs.result',
        amount: {
          value:
            Number(own.reduce((sum, hour) => sum + nanosOf(hour, part as 0 | 1 | 2), 0n)) / 1e9,
          currency: 'usd',
        },
        line_item: `${stream.model}, ${component}`,
        project_id: stream.workspace,
        api_key_id: stream.key,
        quantity: null,
        quantity_unit: null,
      })),
    )
    return bucket(day, DAY_MS, results)
  })
}

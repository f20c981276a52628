import { DAY_MS, HOUR_MS, isoTime, utcDate } from '../../src/clock.ts'
import {
  type FakeAnswer,
  type FakeProvider,
  type FakeRequest,
  type FakeRoute,
  startFakeProvider,
} from './fake-provider.ts'

/** An invented organisation, as its reports would tell it; tests change it between two reads. */
export type FakeOrganization = {
  /** Which report generations are open to it. */
  has_analytics: boolean
  has_legacy: boolean
  /** By UTC day (`2026-11-20`): rows as they stand in the analytics cost report and the legacy one. */
  readonly cost: Map<string, FakeCost[]>
  /** By hour (`2026-11-20T14`). */
  readonly usage: Map<string, FakeUsage[]>
  now: number
}

export type FakeCost = {
  readonly key?: string | null
  readonly model?: string | null
  readonly cents: string
  /** Replaces fields of the row as it is sent. */
  readonly spoil?: Readonly<Record<string, unknown>>
}
export type FakeUsage = {
  readonly key?: string | null
  readonly model?: string
  readonly input: number
}

export const ADMIN_KEY = 'sk-ant-admin01-fake'
const ORGANIZATION = {
  id: '0c0ffee0-0000-4000-8000-000000000001',
  name: 'Paper Mill',
  type: 'organization',
}
const HOME = 'wrkspc_01Home'
const PAGE = 7

export function createOrganization(
  now: number,
  given: Partial<FakeOrganization> = {},
): FakeOrganization {
  return {
    has_analytics: true,
    has_legacy: true,
    cost: new Map(),
    usage: new Map(),
    now,
    ...given,
  }
}

/** https://platform.claude.com/docs/en/api/admin-api, as far as Outlay asks; small pages. */
export function startFakeAnthropic(organization: FakeOrganization): Promise<FakeProvider> {
  const report =
    (serve: (request: FakeRequest) => unknown, isOpen: () => boolean) => (request: FakeRequest) =>
      authorized(request, () => (isOpen() ? { json: serve(request) } : closed()))
  const list = (data: readonly unknown[]) => (request: FakeRequest) =>
    authorized(request, () => ({ json: { data, has_more: false, first_id: null, last_id: null } }))
  const isLegacy = () => organization.has_legacy
  const isAnalytics = () => organization.has_analytics
  const routes: Record<string, FakeRoute> = {
    '/v1/organizations/me': (request) => authorized(request, () => ({ json: ORGANIZATION })),
    '/v1/organizations/workspaces': (request) =>
      list(
        request.query.get('include_default') ? [{ id: HOME, name: 'Home', archived_at: null }] : [],
      )(request),
    '/v1/organizations/api_keys': list([{ id: 'apikey_01', name: 'ci-bot', status: 'active' }]),
    '/v1/organizations/users': list([]),
    '/v1/organizations/service_accounts': list([]),
    '/v1/organizations/cost_report': report(
      (request) => legacyCost(organization, request),
      isLegacy,
    ),
    '/v1/organizations/usage_report/messages': report(
      (request) => legacyUsage(organization, request),
      isLegacy,
    ),
    '/v1/organizations/usage_report/claude_code': report(
      () => ({ data: [], has_more: false, next_page: null }),
      isLegacy,
    ),
    '/v1/organizations/analytics/cost': report(
      (request) => analyticsCost(organization, request),
      isAnalytics,
    ),
    '/v1/organizations/analytics/usage': report(
      (request) => analyticsUsage(organization, request),
      isAnalytics,
    ),
  }
  return startFakeProvider(routes, () => organization.now)
}

function authorized(request: FakeRequest, answer: () => FakeAnswer): FakeAnswer {
  const error = (status: number, type: string) => ({
    status,
    headers: { 'request-id': 'req_fake' },
    json: {
      type: 'error',
      error: { type, message: `never shown: ${request.headers['x-api-key']}` },
    },
  })
  if (request.method !== 'GET') return error(405, 'invalid_request_error')
  return request.headers['x-api-key'] === ADMIN_KEY ? answer() : error(401, 'authentication_error')
}

function closed(): FakeAnswer {
  const details = { error_code: 'organization_not_enrolled_in_beta' }
  return {
    status: 400,
    json: { type: 'error', error: { type: 'invalid_request_error', message: 'closed', details } },
  }
}

function windowOf({ query }: FakeRequest, width: number, now: number) {
  const start = Date.parse(query.get('starting_at') ?? '')
  const end = Math.min(Date.parse(query.get('ending_at') ?? ''), Math.ceil(now / width) * width)
  const buckets: number[] = []
  for (let at = start; at < end; at += width) buckets.push(at)
  return buckets
}

/** Cuts a list into pages whose token is the place where the next one begins. */
function page<Item>(items: readonly Item[], { query }: FakeRequest) {
  const at = Number(query.get('page') ?? 0)
  const has_more = at + PAGE < items.length
  return {
    data: items.slice(at, at + PAGE),
    has_more,
    next_page: has_more ? String(at + PAGE) : null,
  }
}

function legacyCost({ cost, now }: FakeOrganization, request: FakeRequest) {
  const buckets = windowOf(request, DAY_MS, now).map((at) => ({
    starting_at: isoTime(at),
    ending_at: isoTime(at + DAY_MS),
    results: (cost.get(utcDate(at)) ?? []).map(({ model = 'claude-sonnet-5', cents, spoil }) => ({
      amount: cents,
      currency: 'USD',
      description: `${model} Usage - Output Tokens`,
      cost_type: 'tokens',
      token_type: 'output_tokens',
      model,
      service_tier: 'standard',
      context_window: '0-200k',
      inference_geo: 'global',
      workspace_id: null,
      ...spoil,
    })),
  }))
  return page(buckets, request)
}

function legacyUsage({ usage, now }: FakeOrganization, request: FakeRequest) {
  const buckets = windowOf(request, HOUR_MS, now).map((at) => ({
    starting_at: isoTime(at),
    ending_at: isoTime(at + HOUR_MS),
    results: (usage.get(isoTime(at).slice(0, 13)) ?? []).map((row) => ({
      ...tokens(row),
      account_id: null,
      api_key_id: row.key ?? null,
      context_window: '0-200k',
      inference_geo: 'global',
      model: row.model ?? 'claude-sonnet-5',
      service_account_id: null,
      service_tier: 'standard',
      workspace_id: null,
    })),
  }))
  return page(buckets, request)
}

function tokens({ input }: FakeUsage) {
  return {
    uncached_input_tokens: input,
    cache_read_input_tokens: 0,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    output_tokens: input,
    server_tool_use: { web_search_requests: 0 },
  }
}

function groupOf(key: string | null, model: string | null) {
  return { api_key_id: key, model, workspace_id: HOME, service_tier: 'standard', actor: null }
}

function analyticsCost({ cost, now }: FakeOrganization, request: FakeRequest) {
  const rows = windowOf(request, DAY_MS, now).flatMap((at) =>
    (cost.get(utcDate(at)) ?? []).map(
      ({ key = null, model = 'claude-sonnet-5', cents, spoil }) => ({
        starting_at: isoTime(at),
        ending_at: isoTime(at + DAY_MS),
        group: { ...groupOf(key, model), cost_type: 'tokens', token_type: 'output_tokens' },
        cost: { amount: cents, list_amount: cents, currency: 'USD', requests: null },
        ...spoil,
      }),
    ),
  )
  return { ...page(rows, request), data_refreshed_at: isoTime(now) }
}

function analyticsUsage({ usage, now }: FakeOrganization, request: FakeRequest) {
  const rows = windowOf(request, HOUR_MS, now).flatMap((at) =>
    (usage.get(isoTime(at).slice(0, 13)) ?? []).map((row) => ({
      starting_at: isoTime(at),
      ending_at: isoTime(at + HOUR_MS),
      group: groupOf(row.key ?? null, row.model ?? 'claude-sonnet-5'),
      usage: { ...tokens(row), total_tokens: row.input * 2, requests: 1 },
    })),
  )
  return { ...page(rows, request), data_refreshed_at: isoTime(now) }
}

import * as z from 'zod'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../clock.ts'
import { refuseKeyOf } from '../key-kind.ts'
import { contractError } from '../pages.ts'
import type { AdminApi, Provider, Report } from '../provider.ts'
import { absent } from '../rows.ts'
import { analyticsCost, analyticsUsage } from './analytics.ts'
import { claudeCode } from './claude-code.ts'
import { listNames } from './directory.ts'
import { legacyCost, legacyUsage, legacyUsageWithSpeed } from './legacy.ts'
import { ID } from './rows.ts'
import { anthropicSpendLimit } from './spend-limit.ts'
import { anthropicWire } from './wire.ts'

const reports: readonly Report[] = [
  {
    name: 'cost',
    view: 'cost',
    bucket_ms: DAY_MS,
    window_ms: 31 * DAY_MS,
    every_ms: HOUR_MS,
    lookback_ms: 3 * DAY_MS,
    settle_ms: 3 * HOUR_MS,
    floor: () => Number.NEGATIVE_INFINITY,
    serves_current: true,
    variants: [analyticsCost, legacyCost],
  },
  {
    name: 'usage',
    view: 'usage',
    bucket_ms: HOUR_MS,
    window_ms: 7 * DAY_MS,
    every_ms: 15 * MINUTE_MS,
    lookback_ms: 6 * DAY_MS,
    settle_ms: 0,
    floor: () => Number.NEGATIVE_INFINITY,
    serves_current: true,
    variants: [analyticsUsage, legacyUsageWithSpeed, legacyUsage],
  },
  {
    name: 'claude_code',
    view: 'assistant',
    bucket_ms: DAY_MS,
    window_ms: 7 * DAY_MS,
    every_ms: HOUR_MS,
    lookback_ms: DAY_MS,
    settle_ms: 0,
    floor: () => Number.NEGATIVE_INFINITY,
    serves_current: true,
    variants: [claudeCode, absent],
  },
]

const Organization = z.object({ id: z.string().min(1), name: z.string().nullish() })
const ErrorBody = z.object({
  error: z.object({
    type: z.string().optional(),
    details: z.object({ error_code: z.string().optional() }).nullish(),
  }),
})

const key_help = {
  kind: 'an Admin API key (sk-ant-admin01-…)',
  note: 'Only members with the admin role can make one.',
  url: 'https://console.anthropic.com/settings/admin-keys',
  env: 'ANTHROPIC_ADMIN_KEY',
}

const admin: AdminApi = {
  base_url: 'https://api.anthropic.com',
  base_url_env: 'OUTLAY_ANTHROPIC_ADMIN_BASE_URL',
  paths: [
    /^\/v1\/organizations\/(me|workspaces|api_keys|users|service_accounts|cost_report)$/,
    /^\/v1\/organizations\/analytics\/(usage|cost)$/,
    /^\/v1\/organizations\/usage_report\/(messages|claude_code)$/,
  ],
  key_help,
  // Analytics keys of claude.ai organisations have a prefix that is not documented.
  refuseKey: refuseKeyOf({ accepted: [/^sk-ant-(?!api)/], key_help }),
  // An OAuth token goes where tokens go: https://platform.claude.com/docs/en/api/admin-api
  headers: (key) => ({
    'anthropic-version': '2023-06-01',
    ...(key.startsWith('sk-ant-oat') ? { authorization: `Bearer ${key}` } : { 'x-api-key': key }),
  }),
  parseError(body) {
    const parsed = ErrorBody.safeParse(body)
    const code = parsed.data?.error.details?.error_code
    return code === undefined ? {} : { code }
  },
  async identify(get) {
    const parsed = Organization.safeParse(await get({ path: '/v1/organizations/me', params: [] }))
    if (!parsed.success) throw contractError(ID, 'did not say which organisation this is')
    return { id: parsed.data.id, name: parsed.data.name ?? null }
  },
  reports,
  spend_limit: anthropicSpendLimit,
  listNames,
}

export const anthropic: Provider = { id: ID, name: 'Anthropic', admin, wire: anthropicWire }

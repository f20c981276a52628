import * as z from 'zod'
import { DAY_MS } from '../../clock.ts'
import { UpstreamError } from '../../errors.ts'
import { refuseKeyOf } from '../key-kind.ts'
import type { AdminApi, Get, Provider } from '../provider.ts'
import { costReport } from './costs.ts'
import { listNames, listProjects } from './directory.ts'
import { ID } from './rows.ts'
import { openaiSpendLimit } from './spend-limit.ts'
import { usageReports } from './usage.ts'
import { openaiWire } from './wire.ts'

const ErrorBody = z.object({
  error: z.looseObject({ code: z.string().nullish(), param: z.string().nullish() }),
})

const key_help = {
  kind: 'an admin key (sk-admin-…), or a restricted key with the scope api.usage.read',
  note: 'Only owners of the organisation can make one.',
  url: 'https://platform.openai.com/settings/organization/admin-keys',
  env: 'OPENAI_ADMIN_KEY',
}

const admin: AdminApi = {
  base_url: 'https://api.openai.com/v1',
  base_url_env: 'OUTLAY_OPENAI_ADMIN_BASE_URL',
  paths: [
    /^\/organization\/usage\/[a-z_]+$/,
    /^\/organization\/(costs|projects|users)$/,
    /^\/organization\/projects\/[\w%-]+\/api_keys$/,
  ],
  key_help,
  // A project key may be a restricted one that reads usage: only the provider can tell.
  refuseKey: refuseKeyOf({ accepted: [/^sk-admin-/, /^sk-proj-/, /^sk-svcacct-/], key_help }),
  headers: (key) => ({ authorization: `Bearer ${key}` }),
  parseError(body) {
    const error = ErrorBody.safeParse(body).data?.error
    return {
      ...(error?.code ? { code: error.code } : {}),
      ...(error?.param ? { param: error.param } : {}),
    }
  },
  identify,
  reports: [costReport, ...usageReports],
  spend_limit: openaiSpendLimit,
  listNames,
}

/** https://platform.openai.com/docs/api-reference/debugging-requests: which organisation answered. */
const ORGANIZATION_HEADER = 'openai-organization'

/**
 * No endpoint names the organisation. A header may; else its oldest project stays the same whatever key
 * asks. Where a key that reads usage only sees neither, all such keys count as one organisation.
 */
async function identify(get: Get): Promise<{ id: string; name: null }> {
  const start = Date.parse('2026-01-01T00:00:00Z') / 1000
  let organization: string | undefined
  await get({
    path: '/organization/costs',
    params: [
      ['start_time', String(start)],
      ['end_time', String(start + DAY_MS / 1000)],
      ['limit', '1'],
    ],
    onHeaders: (headers) => {
      organization = headers[ORGANIZATION_HEADER]
    },
  })
  return { id: organization || (await oldestProject(get)) || 'organization', name: null }
}

async function oldestProject(get: Get): Promise<string | undefined> {
  try {
    const projects = await listProjects(get)
    const [oldest] = projects.sort(
      (a, b) => (a.created_at ?? 0) - (b.created_at ?? 0) || (a.id < b.id ? -1 : 1),
    )
    return oldest?.id
  } catch (error) {
    if (error instanceof UpstreamError && [401, 403].includes(error.status)) return undefined
    throw error
  }
}

export const openai: Provider = { id: ID, name: 'OpenAI', admin, wire: openaiWire }

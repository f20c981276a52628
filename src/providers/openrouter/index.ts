import * as z from 'zod'
import { sha256 } from '../../ids.ts'
import { refuseKeyOf } from '../key-kind.ts'
import type { AdminApi, Provider } from '../provider.ts'
import { activity, ID } from './activity.ts'
import { listKeys, listNames } from './directory.ts'

const ErrorBody = z.object({ error: z.looseObject({ code: z.union([z.string(), z.number()]) }) })

const key_help = {
  kind: 'a management key; an API key for inference cannot read the activity',
  url: 'https://openrouter.ai/settings/management-keys',
  env: 'OPENROUTER_MANAGEMENT_KEY',
}

const admin: AdminApi = {
  base_url: 'https://openrouter.ai/api/v1',
  base_url_env: 'OUTLAY_OPENROUTER_BASE_URL',
  paths: [/^\/(activity|credits|keys)$/],
  key_help,
  // Management keys have no prefix of their own that is documented.
  refuseKey: refuseKeyOf({ accepted: [/^sk-or-(?!v1-)/], key_help }),
  headers: (key) => ({ authorization: `Bearer ${key}` }),
  parseError(body) {
    const code = ErrorBody.safeParse(body).data?.error.code
    return code === undefined ? {} : { code: String(code) }
  },
  /** No endpoint names the account; its first key's hash stays the same whatever key asks. */
  async identify(get) {
    await get({ path: '/credits', params: [] })
    const keys = await listKeys(get, '')
    const [first] = keys.sort((a, b) =>
      `${a.created_at} ${a.hash}`.localeCompare(`${b.created_at} ${b.hash}`),
    )
    return { id: sha256(ID, first?.hash ?? 'account').slice(0, 16), name: null }
  },
  reports: [activity],
  listNames,
}

export const openrouter: Provider = { id: ID, name: 'OpenRouter', admin }

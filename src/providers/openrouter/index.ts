import * as z from 'zod'
import { sha256 } from '../../ids.ts'
import { refuseKeyOf } from '../key-kind.ts'
import type { AdminApi, Provider } from '../provider.ts'
import { activity } from './activity.ts'
import { findDefaultWorkspace, ID, listNames } from './directory.ts'

const ErrorBody = z.object({ error: z.looseObject({ code: z.union([z.string(), z.number()]) }) })

const key_help = {
  kind: 'a management key',
  note: 'An API key for inference cannot read the activity.',
  url: 'https://openrouter.ai/settings/management-keys',
  env: 'OPENROUTER_MANAGEMENT_KEY',
}

const admin: AdminApi = {
  base_url: 'https://openrouter.ai/api/v1',
  base_url_env: 'OUTLAY_OPENROUTER_BASE_URL',
  paths: [/^\/(activity|credits|keys)$/],
  key_help,
  // Management keys share the prefix of keys for inference: only the provider can tell them apart.
  refuseKey: refuseKeyOf({ accepted: [/^sk-or-/], key_help }),
  headers: (key) => ({ authorization: `Bearer ${key}` }),
  parseError(body) {
    const code = ErrorBody.safeParse(body).data?.error.code
    return code === undefined ? {} : { code: String(code) }
  },
  /**
   * No endpoint names the account. Its default workspace stays as long as the account, whatever key
   * asks; a key that cannot list keys is refused here. An account without keys has nothing to tell
   * it by.
   */
  async identify(get) {
    await get({ path: '/credits', params: [] })
    const workspace = await findDefaultWorkspace(get)
    return { id: sha256(ID, workspace ?? 'account').slice(0, 16), name: 'OpenRouter account' }
  },
  reports: [activity],
  listNames,
}

export const openrouter: Provider = { id: ID, name: 'OpenRouter', admin }

import { request } from 'undici'
import type { App } from '../app.ts'
import { UserError } from '../errors.ts'
import { saveUpstreamKey, type UpstreamKey } from '../keys/upstream-key.ts'
import { getInferenceApi, type InferenceApi } from '../providers/inference.ts'
import type { Secret } from '../secret.ts'

export type InferenceRequest = {
  /** `anthropic`, `openai`, `google` or `compat/<name>`. */
  readonly provider: string
  readonly name?: string | undefined
  readonly base_url?: string | undefined
  readonly workspace?: string | undefined
  readonly key: Secret
  readonly actor: string
}

export type ConnectedInference = {
  readonly connected: UpstreamKey
  /** Said when the server has no list of models to try the key on. */
  readonly note: string | null
}

const TIMEOUT_MS = 20_000

/**
 * Tries the key on the provider's list of models and stores it sealed.
 * @throws UserError for the wrong kind of key, one that the provider refuses, or a missing address.
 */
export async function connectInference(
  app: App,
  given: InferenceRequest,
): Promise<ConnectedInference> {
  const api = getInferenceApi(given.provider)
  const refusal = api.refuseKey(given.key.reveal())
  if (refusal) throw new UserError(refusal)
  const base_url =
    given.base_url ?? app.config.upstream_base_urls[api.id] ?? api.base_url ?? undefined
  if (base_url === undefined)
    throw new UserError(`Where is ${api.name}? Give its address: --base-url https://…/v1`)
  const note = await tryKey(app, api, { base_url, key: given.key })
  const connected = await saveUpstreamKey(app.db, app.sealer, {
    provider: api.id,
    is_compat: api.is_compat,
    name: given.name,
    base_url: given.base_url ?? null,
    workspace: given.workspace ?? null,
    key: given.key,
    at: app.clock.now(),
    actor: given.actor,
  })
  return { connected, note }
}

async function tryKey(
  { closing, http_limits }: App,
  api: InferenceApi & { readonly is_compat: boolean },
  { base_url, key }: { base_url: string; key: Secret },
): Promise<string | null> {
  const timeout = AbortSignal.timeout(http_limits.timeout_ms ?? TIMEOUT_MS)
  let status: number
  try {
    const response = await request(base_url + api.models_path, {
      headers: { accept: 'application/json', ...api.headers(key.reveal()) },
      signal: AbortSignal.any([closing, timeout]),
    })
    status = response.statusCode
    await response.body.dump()
  } catch (error) {
    throw new UserError(`${api.name} could not be reached at its address, so nothing was stored.`, {
      cause: error,
    })
  }
  if (status >= 200 && status < 300) return null
  const { kind, url } = api.key_help
  // Gemini answers 400 to a key that it does not know.
  if ([400, 401, 403].includes(status))
    throw new UserError(
      `${api.name} refused this key (${status}). Needed: ${kind}. Make one at ${url}`,
    )
  if (status === 404 && api.is_compat)
    return `${api.name} has no list of models, so the key was stored untried.`
  throw new UserError(`${api.name} answered ${status}, so nothing was stored. Try again later.`)
}

import type { App } from '../app.ts'
import { UpstreamError, UserError } from '../errors.ts'
import { createConnectPage, type KeyKind } from '../keys/connect-page.ts'
import { type Connection, DEFAULT_NAME, saveConnection } from '../keys/connection.ts'
import { createGet } from '../providers/http.ts'
import { getInferenceApi } from '../providers/inference.ts'
import type { Secret } from '../secret.ts'
import { findLease } from '../store/lease.ts'
import { OWNER_LEASE } from './scheduler.ts'
import type { OwnerDetail } from './status.ts'
import { requireAdmin } from './sync.ts'

export type ConnectRequest = {
  readonly provider: string
  readonly name?: string | undefined
  readonly base_url?: string | undefined
  readonly key: Secret
  readonly actor: string
}

/**
 * Proves the key at its provider and stores it sealed.
 * @throws UserError for the wrong kind of key, one that the provider refuses, or an organisation that
 * is connected already.
 */
export async function connectProvider(app: App, request: ConnectRequest): Promise<Connection> {
  const { admin, id, name: title } = requireAdmin(app, request.provider)
  const refusal = admin.refuseKey(request.key.reveal())
  if (refusal) throw new UserError(refusal)
  const configured = app.config.providers[id]?.admin_base_url
  const http = createGet({
    provider: id,
    admin,
    base_url: request.base_url ?? configured ?? admin.base_url,
    key: request.key,
    clock: app.clock,
    signal: app.closing,
    attempts_max: 2,
    ...app.http_limits,
  })
  try {
    const organization = await admin.identify(http.get)
    return await saveConnection(app.db, app.sealer, {
      provider: id,
      name: request.name,
      base_url: request.base_url ?? null,
      key: request.key,
      organization,
      at: app.clock.now(),
      actor: request.actor,
    })
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const { kind, url } = admin.key_help
    if (error.status === 401 || error.status === 403)
      throw new UserError(
        `${title} refused this key (${error.status}). Needed: ${kind}. Make one at ${url}`,
      )
    throw new UserError(`${title} could not be asked, so nothing was stored: ${error.message}`)
  } finally {
    await http.close()
  }
}

/** Where nothing is said: a key that reads costs, if the provider has such. */
export function connectKind({ providers }: App, { provider, kind }: ConnectQuestion): KeyKind {
  if (kind !== undefined) return kind
  return providers.some(({ id, admin, wire }) => id === provider && !admin && wire)
    ? 'inference'
    : 'admin'
}

export type ConnectQuestion = {
  readonly provider: string
  readonly kind?: KeyKind | undefined
  readonly name?: string | undefined
}

/** @throws UserError for a provider that has no such key. */
export function describeConnect(app: App, question: ConnectQuestion) {
  const kind = connectKind(app, question)
  const { provider } = question
  const { key_help, base_url } =
    kind === 'admin' ? requireAdmin(app, provider).admin : getInferenceApi(provider)
  const options = [
    ...(kind === 'admin' ? [] : ['--kind inference']),
    ...(base_url === null ? ['--base-url https://…/v1'] : []),
    ...(question.name ? [`--name ${question.name}`] : []),
  ]
  return {
    command: ['outlay connect', provider, ...options].join(' '),
    key_needed: key_help.kind,
    key_page: key_help.url,
  }
}

/** A one-time page at the side port of whichever process owns it; null when none does. */
export async function openConnectPage(app: App, question: ConnectQuestion) {
  const described = describeConnect(app, question)
  const owner = await findLease(app.db, app.holder, OWNER_LEASE)
  const { side_port } = JSON.parse(owner?.detail ?? '{}') as OwnerDetail
  // Where a server of any address would get the key, an address that was only told is not enough.
  const is_own_address = app.providers.some(({ id }) => id === question.provider)
  if (!side_port || !is_own_address) return { url: null, ...described }
  const nonce = await createConnectPage(app.db, {
    provider: question.provider,
    kind: connectKind(app, question),
    name: question.name ?? DEFAULT_NAME,
    clock: app.clock,
  })
  return { url: `${side_port}/connect/${nonce}`, ...described }
}

import type { App } from '../app.ts'
import { UpstreamError, UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import {
  type Connection,
  connectionKey,
  listConnections,
  pauseConnection,
} from '../keys/connection.ts'
import { assignOrganization, ensureEnvironmentConnections } from '../keys/environment.ts'
import { createGet } from '../providers/http.ts'
import { createPages } from '../providers/pages.ts'
import type { AdminApi, Provider } from '../providers/provider.ts'
import { findLease, type Holder, releaseLease, takeLease } from '../store/lease.ts'
import { failConnection, type RunOptions, type RunResult, runConnection } from '../sync/run.ts'
import { hasDueWork, wasReadSince } from '../sync/stream.ts'

export type SyncRequest = RunOptions & {
  /** Only this provider, or all. */
  readonly provider?: string | undefined
  readonly signal: AbortSignal
  /** A backfill in the background leaves the provider room; a person who waits does not want that. */
  readonly is_background: boolean
}

export type ConnectionOutcome = {
  readonly provider: string
  readonly name: string
  readonly rows: number
  readonly failures: RunResult['failures']
  /** Another process reads this connection right now. */
  readonly is_busy: boolean
}

const LEASE_TTL_MS = 30_000
const LEASE_RENEW_MS = 5_000
const LEASE_TRIES = 20
const LEASE_RETRY_MS = 100
const BACKFILL_PACE_MS = 1_000
/** How long a person's own run waits in place when a provider says "slow down". */
const PATIENCE_MS = 60_000

/** One sync run over the connections. A failure of one does not keep the others from being read. */
export async function syncConnections(
  app: App,
  request: SyncRequest,
): Promise<ConnectionOutcome[]> {
  const connections = await listReadable(app, request.provider)
  const outcomes: ConnectionOutcome[] = []
  for (const connection of connections) outcomes.push(await syncOne(app, connection, request))
  return outcomes
}

/** Live connections that are not a second key of the same organisation, keys of the environment included. */
export async function listReadable(app: App, provider: string | undefined): Promise<Connection[]> {
  await ensureEnvironmentConnections(app.db, environmentKeys(app), app.clock.now())
  const connections = await listConnections(app.db)
  return connections.filter(
    (one) => one.duplicate_of === null && (provider === undefined || one.provider === provider),
  )
}

function environmentKeys(app: App) {
  return app.providers.flatMap(({ id, admin }) => {
    const { admin_key, admin_base_url } = app.config.providers[id] ?? {}
    const refusal = admin_key && admin?.refuseKey(admin_key.reveal())
    if (refusal) app.log.warn(`${admin?.key_help.env}: ${refusal}`)
    if (!admin || !admin_key || refusal) return []
    return [{ provider: id, key: admin_key, base_url: admin_base_url ?? null }]
  })
}

async function syncOne(
  app: App,
  connection: Connection,
  request: SyncRequest,
): Promise<ConnectionOutcome> {
  const { db } = app
  const { provider, name } = connection
  const lease = `sync:${connection.id}`
  // Each run holds for itself: two runs of one process exclude each other too.
  const holder = { ...app.holder, id: newId('run') }
  const nothing = { provider, name, rows: 0, failures: [], is_busy: false }
  if (!request.is_forced && !(await isDue(app, connection))) return nothing
  if (!(await awaitLease(app, holder, lease, request))) return { ...nothing, is_busy: true }
  const renewal = setInterval(() => {
    takeLease(db, holder, { name: lease, ttl_ms: LEASE_TTL_MS }).catch(() => {})
  }, LEASE_RENEW_MS)
  try {
    return { ...nothing, ...(await readConnection(app, connection, request, { lease, holder })) }
  } finally {
    clearInterval(renewal)
    await releaseLease(db, holder, lease)
  }
}

async function isDue({ db, clock }: App, { id, paused_until }: Connection): Promise<boolean> {
  return (paused_until ?? 0) <= clock.now() && (await hasDueWork(db, id, clock.now()))
}

/** A person's run lets a run in the background end its step first; another process is not waited for. */
async function awaitLease(
  app: App,
  holder: Holder,
  lease: string,
  { is_background, signal }: SyncRequest,
): Promise<boolean> {
  const tries = is_background ? 1 : LEASE_TRIES
  for (let i = 0; i < tries; i++) {
    if (await takeLease(app.db, holder, { name: lease, ttl_ms: LEASE_TTL_MS })) return true
    await app.clock.sleep(LEASE_RETRY_MS, signal)
  }
  return false
}

async function readConnection(
  app: App,
  connection: Connection,
  request: SyncRequest,
  { lease, holder }: { lease: string; holder: Holder },
): Promise<RunResult> {
  const provider = app.providers.find(({ id }) => id === connection.provider)
  if (!provider?.admin) return { rows: 0, failures: [] }
  const { fast, slow, close } = await openHttp(app, connection, provider.admin, request)
  try {
    const live = await identifyOnce(app, connection, provider, fast.get)
    if ('failures' in live) return live
    if (live.duplicate_of !== null) return { rows: 0, failures: [] }
    return await runConnection(
      {
        db: app.db,
        catalog: await app.catalog(),
        provider: provider.id,
        provider_info: provider,
        admin: provider.admin,
        connection_id: live.id,
        now: app.clock.now,
        get: fast.get,
        pages: fast.pages,
        slow_get: slow.get,
        slow_pages: slow.pages,
        holder,
        lease,
        refused: new Set(),
        signal: request.signal,
        onRows: () => {},
        pause: (until) => pauseConnection(app.db, live.id, until),
      },
      request,
    )
  } finally {
    await close()
  }
}

async function openHttp(
  app: App,
  connection: Connection,
  admin: AdminApi,
  { is_background, signal }: SyncRequest,
) {
  const key = await connectionKey(app.db, app.sealer, environmentKeyTexts(app), connection.id)
  const base_url =
    connection.base_url ??
    app.config.providers[connection.provider]?.admin_base_url ??
    admin.base_url
  const options = {
    provider: connection.provider,
    admin,
    base_url,
    key,
    clock: app.clock,
    signal,
    ...app.http_limits,
    patience_ms: is_background ? 0 : PATIENCE_MS,
    onSkew: (clock_skew_ms: number | null) => {
      app.db
        .updateTable('connection')
        .set({ clock_skew_ms })
        .where('id', '=', connection.id)
        .execute()
        .catch(() => {})
    },
  }
  const fast = createGet(options)
  const slow = createGet({ ...options, pace_ms: is_background ? BACKFILL_PACE_MS : 0 })
  return {
    fast: { get: fast.get, pages: createPages(fast.get, { provider: connection.provider }) },
    slow: { get: slow.get, pages: createPages(slow.get, { provider: connection.provider }) },
    close: async () => {
      await Promise.all([fast.close(), slow.close()])
    },
  }
}

function environmentKeyTexts(app: App) {
  return Object.fromEntries(
    Object.entries(app.config.providers).map(([id, { admin_key }]) => [id, admin_key]),
  )
}

/** A variable can hold another organisation's key at any start; a stored key said whose it is when it was stored. */
async function identifyOnce(
  app: App,
  connection: Connection,
  provider: Provider,
  get: Parameters<AdminApi['identify']>[0],
): Promise<Connection | RunResult> {
  const { admin } = provider
  if (!admin || connection.origin === 'stored') return connection
  try {
    const organization = await admin.identify(get)
    const given = { connection_id: connection.id, organization, at: app.clock.now() }
    return await assignOrganization(app.db, given)
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const { db, clock } = app
    const { id: connection_id, updated_at } = connection
    // The same key was read before: whose it is stands, and each report speaks for itself.
    if (error.status !== 429 && (await wasReadSince(db, connection_id, updated_at)))
      return connection
    const pause = (until: number) => pauseConnection(db, connection_id, until)
    const given = { db, provider_info: provider, admin, connection_id, now: clock.now, pause }
    return failConnection(given, error)
  }
}

/** Whether some process of this store reads a connection now. */
export async function isSyncing(app: App, connection_id: string): Promise<boolean> {
  return (await findLease(app.db, app.holder, `sync:${connection_id}`)) !== undefined
}

/** @throws UserError when the provider is unknown or cannot be synced. */
export function requireAdmin(app: App, provider_id: string): Provider & { admin: AdminApi } {
  const provider = app.providers.find(({ id }) => id === provider_id)
  const known = app.providers.filter(({ admin }) => admin).map(({ id }) => id)
  if (!provider?.admin)
    throw new UserError(
      `No provider "${provider_id}" with an admin API. Known: ${known.join(', ')}.`,
    )
  return { ...provider, admin: provider.admin }
}

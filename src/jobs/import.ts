import type { App } from '../app.ts'
import { MINUTE_MS } from '../clock.ts'
import { closest } from '../closest.ts'
import { UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { ImportDeps } from '../local/book.ts'
import { CLIENT_IDS, type LocalClient, type LogFile } from '../local/client.ts'
import { type ImportResult, importClient, listClientFiles } from '../local/import.ts'
import { localClients } from '../local/index.ts'
import { listFollowed } from '../local/position.ts'
import { findBillingRule } from '../policy.ts'
import { findLease, releaseLease, takeLease } from '../store/lease.ts'
import { openStore } from '../store/open.ts'
import type { Job } from './scheduler.ts'

export type ImportRequest = {
  /** Only this client, or all. */
  readonly client?: string | undefined
  /** Says what an import would add, and changes nothing. */
  readonly is_dry_run: boolean
  readonly signal: AbortSignal
  onProgress?(client: string, done: number, total: number): void
}

const LEASE = 'import'
const LEASE_TTL_MS = 30_000
const LEASE_RENEW_MS = 5_000
const LEASE_TRIES = 100
const LEASE_RETRY_MS = 100

/**
 * Reads the session logs of coding assistants; from then on their folders are followed.
 * @throws UserError for an unknown client, or while another process imports.
 */
export async function importLogs(app: App, request: ImportRequest): Promise<ImportResult[]> {
  const clients = findClients(request.client)
  if (request.is_dry_run) return rehearse(app, clients, request)
  return withLease(app, LEASE_TRIES, request.signal, async () => {
    const deps = await importDeps(app, request.signal)
    return importEach(deps, clients, request)
  })
}

/** The files that an import would look at. */
export async function listLogFiles(
  app: App,
  { client, signal }: Pick<ImportRequest, 'client' | 'signal'>,
): Promise<{ client: string; files: LogFile[] }[]> {
  const env = app.config.folder_env
  const lists = []
  for (const one of findClients(client))
    lists.push({ client: one.id, files: await listClientFiles({ env, signal }, one) })
  return lists
}

/** @throws UserError for an unknown one, with the closest. */
export function findClients(name: string | undefined): readonly LocalClient[] {
  if (name === undefined || name === 'all') return localClients
  const client = localClients.find(({ id }) => id === name)
  if (client) return [client]
  const near = closest(name, CLIENT_IDS)
  throw new UserError(
    `There are no logs of "${name}" to read.${near ? ` Did you mean ${near}?` : ''} Known: ${CLIENT_IDS.join(', ')}, all.`,
  )
}

async function importEach(
  deps: ImportDeps,
  clients: readonly LocalClient[],
  { onProgress }: Pick<ImportRequest, 'onProgress'>,
): Promise<ImportResult[]> {
  const results: ImportResult[] = []
  for (const client of clients)
    results.push(
      await importClient(deps, client, (done, total) => onProgress?.(client.id, done, total)),
    )
  return results
}

async function importDeps(app: App, signal: AbortSignal): Promise<ImportDeps> {
  const { db, clock, config } = app
  const policy = await app.policy()
  return {
    db,
    catalog: await app.catalog(),
    env: config.folder_env,
    project_names: config.project_names,
    billingMode: (client) => findBillingRule(policy, { client }) ?? 'api',
    now: clock.now,
    wallNow: clock.wallNow,
    signal,
  }
}

/** The same import into a store that is thrown away, and of it what this store does not have. */
async function rehearse(
  app: App,
  clients: readonly LocalClient[],
  request: ImportRequest,
): Promise<ImportResult[]> {
  const scratch = await openStore({
    path: ':memory:',
    driver: app.store_driver,
    now: app.clock.now(),
  })
  try {
    const deps = await importDeps(app, request.signal)
    return await importEach({ ...deps, db: scratch.db, known: app.db }, clients, request)
  } finally {
    await scratch.close()
  }
}

/** One import at a time in a store, whichever process runs it. */
async function withLease<Result>(
  app: App,
  tries: number,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  const holder = { ...app.holder, id: newId('run') }
  const lease = { name: LEASE, ttl_ms: LEASE_TTL_MS }
  for (let i = 1; !(await takeLease(app.db, holder, lease)); i++) {
    if (i >= tries)
      throw new UserError('Another process imports logs at this moment. Try again when it is done.')
    await app.clock.sleep(LEASE_RETRY_MS, signal)
  }
  const renewal = setInterval(() => {
    takeLease(app.db, holder, lease).catch(() => {})
  }, LEASE_RENEW_MS)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await releaseLease(app.db, holder, LEASE)
  }
}

/** Sessions are written all day: what they cost is wanted soon, and looking costs one stat a file. */
const FOLLOW_EVERY_MS = MINUTE_MS / 2

/** Follows the folders of the clients that a person imported once; before that it reads nothing. */
export const importJob: Job = {
  name: 'import',
  async isDue({ db, clock, holder }) {
    const followed = await listFollowed(db)
    const due_before = clock.wallNow() - FOLLOW_EVERY_MS
    if (!followed.some(({ looked_at }) => looked_at <= due_before)) return false
    return (await findLease(db, holder, LEASE)) === undefined
  },
  async run(app, signal) {
    const followed = await listFollowed(app.db)
    const clients = localClients.filter(({ id }) => followed.some(({ client }) => client === id))
    await withLease(app, 1, signal, async () => {
      await importEach(await importDeps(app, signal), clients, {})
    })
  },
}

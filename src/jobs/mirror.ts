import type { App } from '../app.ts'
import { type Budget, getBudget } from '../budgets/budget.ts'
import {
  centsOf,
  findMirror,
  listMirrorsSeenBefore,
  nanosOfCents,
  removeMirror,
  saveMirror,
} from '../budgets/mirror.ts'
import { HOUR_MS } from '../clock.ts'
import { messageOf, UserError } from '../errors.ts'
import { appendAudit } from '../keys/audit.ts'
import { type Connection, connectionKey, listConnections } from '../keys/connection.ts'
import { formatUsd } from '../money.ts'
import type { AdminApi } from '../providers/provider.ts'
import { createSend, type Send, type SpendLimitApi } from '../providers/spend-limit.ts'
import type { Job } from './scheduler.ts'

/**
 * Sets the provider's own limit to the budget's, as a backstop for what goes around the proxy. Never
 * throws for what the provider does not allow: the sentence that it gives says so.
 */
async function mirrorBudget(app: App, id: string, actor: string): Promise<string> {
  const budget = await getBudget(app.db, id)
  try {
    const place = await findPlace(app, budget)
    const { limits, send, workspace, title } = await openPlace(app, place)
    const before = await limits.read(send, workspace).catch(() => null)
    const cents = centsOf(budget.limit_nanos)
    await limits.write(send, workspace, cents)
    const at = app.clock.now()
    await app.db.transaction().execute(async (trx) => {
      const seen = { set_cents: cents, seen_cents: cents, seen_at: at }
      const connection_id = place.connection.id
      await saveMirror(trx, { budget_id: budget.id, connection_id, workspace, ...seen })
      const detail = { provider: place.connection.provider, workspace, cents }
      await appendAudit(trx, { at, actor, action: 'budget.mirror', subject: budget.id, detail })
    })
    const was = before === null || before === cents ? '' : ` (it was ${money(before)})`
    return `${title} stops at ${money(cents)} a month as well${was}. Its limit counts all traffic, in its own month, and takes hold a little late.`
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return `The provider's own limit was not set. ${error.message}`
  }
}

/** After a budget was made or changed; null where nothing is mirrored. */
export async function mirrorAs(
  app: App,
  given: { state: string; id: string; mirror: boolean | undefined; actor: string },
): Promise<string | null> {
  const { state, id, mirror, actor } = given
  if (state === 'planned') return null
  const is_mirrored = (await findMirror(app.db, id)) !== undefined
  if (state === 'removed') {
    if (!is_mirrored) return null
    await removeMirror(app.db, id)
    return "The provider's own limit stays as it is; remove it there."
  }
  if (mirror === false) return unmirrorBudget(app, id, actor)
  return mirror === true || is_mirrored ? mirrorBudget(app, id, actor) : null
}

/** Takes the provider's own limit away again. */
async function unmirrorBudget(app: App, id: string, actor: string): Promise<string> {
  const mirror = await findMirror(app.db, id)
  if (!mirror) return "There was no provider's limit to remove."
  try {
    const connection = await getMirrored(app, mirror.connection_id)
    const { limits, send, title } = await openPlace(app, {
      connection,
      workspace: mirror.workspace,
    })
    await limits.remove(send, mirror.workspace)
    const at = app.clock.now()
    await app.db.transaction().execute(async (trx) => {
      await removeMirror(trx, id)
      await appendAudit(trx, { at, actor, action: 'budget.unmirror', subject: id, detail: {} })
    })
    return `${title} has no limit of its own any more.`
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return `The provider's own limit was not removed. ${error.message}`
  }
}

const SEEN_MS = HOUR_MS

/** Once an hour: whether somebody has changed the provider's limit since. */
export const mirrorJob: Job = {
  name: 'mirror',
  async isDue({ db, clock }) {
    return (await listMirrorsSeenBefore(db, clock.now() - SEEN_MS)).length > 0
  },
  async run(app) {
    const now = app.clock.now()
    for (const mirror of await listMirrorsSeenBefore(app.db, now - SEEN_MS)) {
      const { workspace, seen_cents } = mirror
      const seen = await getMirrored(app, mirror.connection_id)
        .then((connection) => openPlace(app, { connection, workspace }))
        .then(({ limits, send }) => limits.read(send, workspace))
        .catch((error: unknown) => {
          app.log.warn("a provider's own limit could not be read", { reason: messageOf(error) })
          return seen_cents
        })
      await saveMirror(app.db, { ...mirror, seen_cents: seen, seen_at: now })
    }
  },
}

type Place = { readonly connection: Connection; readonly workspace: string | null }

async function findPlace(app: App, { scope, period }: Budget): Promise<Place> {
  if (period !== 'month')
    throw new UserError('Providers limit by the month; the budget needs the period month.')
  if (scope.kind !== 'provider' && scope.kind !== 'workspace')
    throw new UserError(
      'Providers limit an organisation or a workspace; the budget needs the scope provider or workspace.',
    )
  const connections = (await listConnections(app.db)).filter((one) => one.duplicate_of === null)
  if (scope.kind === 'provider') {
    const own = connections.filter(({ provider }) => provider === scope.value.toLowerCase())
    const [connection] = own
    if (connection && own.length === 1) return { connection, workspace: null }
    throw new UserError(
      own.length === 0
        ? `No admin key of ${scope.value} is connected: outlay connect ${scope.value}.`
        : `Several organisations of ${scope.value} are connected; limit a workspace of one.`,
    )
  }
  const found = await app.db
    .selectFrom('directory_entry')
    .select(['connection_id', 'id'])
    .where('kind', '=', 'workspace')
    .where((eb) => eb.or([eb('id', '=', scope.value), eb('name', '=', scope.value)]))
    .execute()
  const places = found.flatMap(({ connection_id, id }) => {
    const connection = connections.find((one) => one.id === connection_id)
    return connection ? [{ connection, workspace: id }] : []
  })
  const [place] = places
  if (place && places.length === 1) return place
  throw new UserError(
    `${places.length === 0 ? 'No' : 'More than one'} connected provider has a workspace "${scope.value}".`,
  )
}

async function getMirrored(app: App, connection_id: string): Promise<Connection> {
  const connection = (await listConnections(app.db)).find(({ id }) => id === connection_id)
  if (connection) return connection
  throw new UserError('The connection was removed.')
}

type Open = {
  readonly limits: SpendLimitApi
  readonly send: Send
  readonly workspace: string | null
  /** As it is told: `OpenAI project proj_x`. */
  readonly title: string
}

async function openPlace(app: App, { connection, workspace }: Place): Promise<Open> {
  const { provider: id } = connection
  const provider = app.providers.find((one) => one.id === id)
  const admin: AdminApi | undefined = provider?.admin
  if (!provider || !admin?.spend_limit)
    throw new UserError(`${provider?.name ?? id} has no limit of its own that an API could set.`)
  const limits = admin.spend_limit
  const env_keys = Object.fromEntries(
    Object.entries(app.config.providers).map(([name, { admin_key }]) => [name, admin_key]),
  )
  const key = await connectionKey(app.db, app.sealer, env_keys, connection.id)
  const base_url = connection.base_url ?? app.config.providers[id]?.admin_base_url ?? admin.base_url
  const send = createSend(
    { title: provider.name, admin, needs: limits.needs },
    base_url,
    key.reveal(),
  )
  const title =
    workspace === null ? provider.name : `${provider.name} ${limits.workspace_word} ${workspace}`
  return { limits, send, workspace, title }
}

function money(cents: number): string {
  return formatUsd(nanosOfCents(cents))
}

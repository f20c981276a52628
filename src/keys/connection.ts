import type { Selectable } from 'kysely'
import { UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Secret } from '../secret.ts'
import type { ConnectionTable, Db } from '../store/schema.ts'
import { appendAudit } from './audit.ts'
import { fingerprintOf, keyHashOf } from './fingerprint.ts'
import type { Sealer } from './seal.ts'
import { inTransaction } from './transaction.ts'

/**
 * A provider account that is read. A provider's organisation has at most one connection that is not a
 * duplicate, removed ones included: its history goes on when a key of it comes back, and nothing is
 * counted twice.
 */
export type Connection = Omit<Selectable<ConnectionTable>, 'sealed_key' | 'key_hash'>

export type Organization = { readonly id: string; readonly name: string | null }

export type NewConnection = {
  readonly provider: string
  readonly name?: string | undefined
  /** Null: the provider's real host. */
  readonly base_url: string | null
  readonly key: Secret
  readonly organization: Organization
  readonly at: number
  readonly actor: string
}

export const DEFAULT_NAME = 'default'
/** Names the connections whose key stands in an environment variable. */
export const ENVIRONMENT_NAME = 'environment'

const COLUMNS = [
  'id',
  'provider',
  'name',
  'origin',
  'base_url',
  'fingerprint',
  'organization_id',
  'organization_name',
  'created_at',
  'updated_at',
  'removed_at',
  'paused_until',
  'clock_skew_ms',
  'duplicate_of',
] as const satisfies readonly (keyof Connection)[]

const ROWS_MAX = 500
const ORGANIZATION_NAME_CHARS_MAX = 120

export async function listConnections(
  db: Db,
  { with_removed = false }: { with_removed?: boolean } = {},
): Promise<Connection[]> {
  return db
    .selectFrom('connection')
    .select(COLUMNS)
    .$if(!with_removed, (query) => query.where('removed_at', 'is', null))
    .orderBy('provider')
    .orderBy('name')
    .orderBy('created_at')
    .limit(ROWS_MAX)
    .execute()
}

/** The live connection of that name. */
export async function findConnection(
  db: Db,
  { provider, name = DEFAULT_NAME }: { provider: string; name?: string | undefined },
): Promise<Connection | undefined> {
  return db
    .selectFrom('connection')
    .select(COLUMNS)
    .where('provider', '=', provider)
    .where('name', '=', name)
    .where('removed_at', 'is', null)
    .executeTakeFirst()
}

export async function getConnection(db: Db, id: string): Promise<Connection> {
  return db
    .selectFrom('connection')
    .select(COLUMNS)
    .where('id', '=', id)
    .executeTakeFirstOrThrow(() => new UserError(`There is no connection "${id}".`))
}

/** A provider's own text, made fit for one line. */
export function organizationColumns({ id, name }: Organization): {
  organization_id: string
  organization_name: string | null
} {
  const text = name?.replace(/[\p{C}\s]+/gu, ' ').trim()
  return {
    organization_id: id,
    organization_name: text ? text.slice(0, ORGANIZATION_NAME_CHARS_MAX) : null,
  }
}

/**
 * Stores a key that was tested. The same name again replaces its key; a name that was removed, or one
 * of an organisation that was connected before, takes up its history.
 * @throws UserError when the organisation has another live connection, or the name another organisation.
 */
export async function saveConnection(
  db: Db,
  sealer: Sealer,
  given: NewConnection,
): Promise<Connection> {
  const { provider, key, organization, at, actor } = given
  const name = parseConnectionName(given.name)
  return inTransaction(db, async (trx) => {
    const named = await findConnection(trx, { provider, name })
    const known = await findOfOrganization(trx, { provider, organization_id: organization.id })
    refuseOtherOrganization(named, organization)
    refuseTwin(named, known)
    const former = named ?? known
    const id = former?.id ?? newId('con')
    const row = {
      name,
      origin: 'stored' as const,
      base_url: given.base_url,
      sealed_key: sealer.seal(key, sealContext(id)),
      ...describeKey(key),
      ...organizationColumns(organization),
      updated_at: at,
      removed_at: null,
      paused_until: null,
      duplicate_of: null,
    }
    await trx
      .insertInto('connection')
      .values({ id, provider, created_at: at, ...row })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
      .execute()
    await wakeStreams(trx, id)
    await appendAudit(trx, {
      at,
      actor,
      action: named ? 'connection.replace' : 'connection.connect',
      subject: id,
      detail: { provider, name, fingerprint: row.fingerprint, organization_id: organization.id },
    })
    return getConnection(trx, id)
  })
}

/** Forgets the key and stops reading; what was read stays. */
export async function removeConnection(
  db: Db,
  given: { provider: string; name?: string | undefined; at: number; actor: string },
): Promise<Connection> {
  const { provider, name = DEFAULT_NAME, at, actor } = given
  return inTransaction(db, async (trx) => {
    const found = await findConnection(trx, { provider, name })
    if (!found) throw await unknownNameError(trx, provider, name)
    if (found.origin === 'environment')
      throw new UserError(
        `The ${provider} connection "${name}" comes from an environment variable. Unset the variable and start Outlay again.`,
      )
    await trx
      .updateTable('connection')
      .set({ sealed_key: null, key_hash: null, removed_at: at, updated_at: at })
      .where('id', '=', found.id)
      .execute()
    await appendAudit(trx, {
      at,
      actor,
      action: 'connection.remove',
      subject: found.id,
      detail: { provider, name, fingerprint: found.fingerprint },
    })
    return getConnection(trx, found.id)
  })
}

/**
 * The key of a live connection, at the moment it is needed. `env_keys` are those of the environment, by
 * provider.
 */
export async function connectionKey(
  db: Db,
  sealer: Sealer,
  env_keys: Readonly<Record<string, Secret | undefined>>,
  connection_id: string,
): Promise<Secret> {
  const row = await db
    .selectFrom('connection')
    .select(['provider', 'name', 'origin', 'sealed_key', 'removed_at'])
    .where('id', '=', connection_id)
    .executeTakeFirst()
  if (!row || row.removed_at !== null)
    throw new UserError(`The connection "${connection_id}" was removed. Connect again.`)
  if (row.sealed_key !== null) return sealer.open(row.sealed_key, sealContext(connection_id))
  const key = env_keys[row.provider]
  if (key) return key
  throw new UserError(
    `The key of the ${row.provider} connection "${row.name}" stands in an environment variable that this process does not have. Set it, or store the key: outlay connect ${row.provider}`,
  )
}

/** Holds the whole connection back: its provider asked for it. */
export async function pauseConnection(db: Db, id: string, until: number): Promise<void> {
  await db.updateTable('connection').set({ paused_until: until }).where('id', '=', id).execute()
}

export function sealContext(connection_id: string): string {
  return `connection/${connection_id}`
}

export function describeKey(key: Secret): { fingerprint: string; key_hash: string } {
  return { fingerprint: fingerprintOf(key), key_hash: keyHashOf(key) }
}

/** The connection that holds an organisation's history, live or removed. */
export async function findOfOrganization(
  db: Db,
  { provider, organization_id }: { provider: string; organization_id: string },
): Promise<Connection | undefined> {
  return db
    .selectFrom('connection')
    .select(COLUMNS)
    .where('provider', '=', provider)
    .where('organization_id', '=', organization_id)
    .where('duplicate_of', 'is', null)
    .executeTakeFirst()
}

/** A new key deserves a new try at what the old one was refused or told to wait for. */
export async function wakeStreams(db: Db, connection_id: string): Promise<void> {
  await db
    .updateTable('sync_stream')
    .set({ status: 'waiting', problem: null, http_status: null, failures: 0, next_due_at: 0 })
    .where('connection_id', '=', connection_id)
    .where('status', 'in', ['auth_failed', 'paused'])
    .execute()
}

/** @throws UserError when the text cannot name a stored connection. */
export function parseConnectionName(name: string = DEFAULT_NAME): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,39}$/i.test(name))
    throw new UserError(
      'A connection name has 1 to 40 letters, digits, dots, dashes or underscores, and begins with a letter or digit.',
    )
  if (name === ENVIRONMENT_NAME)
    throw new UserError(
      `"${ENVIRONMENT_NAME}" names the connections whose key stands in an environment variable. Take another name.`,
    )
  return name
}

function refuseOtherOrganization(named: Connection | undefined, organization: Organization): void {
  if (!named || named.organization_id === null || named.organization_id === organization.id) return
  throw new UserError(
    `This key belongs to ${titleOf(organizationColumns(organization))}, but the ${named.provider} connection "${named.name}" reads ${titleOf(named)}. To read both, give this one another name: outlay connect ${named.provider} --name ${named.name}-2`,
  )
}

function refuseTwin(named: Connection | undefined, known: Connection | undefined): void {
  if (!known || known.id === named?.id || known.removed_at !== null) return
  const { provider, name, fingerprint } = known
  const by =
    known.origin === 'environment' ? 'through an environment variable' : `under the name "${name}"`
  const next =
    known.origin === 'environment'
      ? 'To store the key instead, unset the variable and connect again.'
      : `To replace that key: outlay connect ${provider} --name ${name}`
  throw new UserError(
    `This key belongs to ${titleOf(known)}, which is connected already ${by} (${fingerprint}). A second connection would count its spend twice. ${next}`,
  )
}

function titleOf(one: {
  readonly organization_id: string | null
  readonly organization_name: string | null
}): string {
  return `the organisation "${one.organization_name ?? one.organization_id}"`
}

async function unknownNameError(db: Db, provider: string, name: string): Promise<UserError> {
  const known = (await listConnections(db)).map((one) => `${one.provider} "${one.name}"`)
  return new UserError(
    `There is no ${provider} connection "${name}". ${known.length > 0 ? `Connected: ${known.join(', ')}.` : 'Nothing is connected.'}`,
  )
}

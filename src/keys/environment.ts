import { newId } from '../ids.ts'
import type { Secret } from '../secret.ts'
import type { Db } from '../store/schema.ts'
import { appendAudit } from './audit.ts'
import {
  type Connection,
  describeKey,
  ENVIRONMENT_NAME,
  findConnection,
  findOfOrganization,
  getConnection,
  listConnections,
  type Organization,
  organizationColumns,
  wakeStreams,
} from './connection.ts'
import { inTransaction } from './transaction.ts'

export type EnvironmentKey = {
  readonly provider: string
  readonly key: Secret
  readonly base_url: string | null
}

const ACTOR = 'environment'

/**
 * Makes the connections match the keys of the environment; only fingerprints are stored. To be called
 * by the process that reads the providers, and by no other: each has an environment of its own.
 */
export async function ensureEnvironmentConnections(
  db: Db,
  keys: readonly EnvironmentKey[],
  at: number,
): Promise<Connection[]> {
  return inTransaction(db, async (trx) => {
    const live = (await listConnections(trx)).filter(({ origin }) => origin === 'environment')
    for (const one of live)
      if (!keys.some(({ provider }) => provider === one.provider)) await retire(trx, one, at)
    const ensured: Connection[] = []
    for (const key of keys) {
      const one = await getConnection(trx, await ensure(trx, key, at))
      ensured.push(await standIn(trx, one, at))
    }
    return ensured
  })
}

/**
 * Records whose key the environment holds, once the provider has said it, and gives the connection to
 * read for it. That one is marked as a duplicate when the organisation is connected otherwise; it is
 * the former one when the organisation was connected before, and a new one when the variable now holds
 * another organisation's key. Stored connections come back as they are.
 */
export async function assignOrganization(
  db: Db,
  given: { connection_id: string; organization: Organization; at: number },
): Promise<Connection> {
  const { organization, at } = given
  return inTransaction(db, async (trx) => {
    const found = await getConnection(trx, given.connection_id)
    if (found.origin === 'stored') return found
    const one = holdsOther(found, organization) ? await splitOff(trx, found, at) : found
    const columns = organizationColumns(organization)
    const known = await findOfOrganization(trx, { provider: one.provider, ...columns })
    if (known && known.id !== one.id && known.removed_at !== null)
      return takeUp(trx, { from: one, to: known, at })
    const duplicate_of = known && known.id !== one.id ? known.id : null
    await trx
      .updateTable('connection')
      .set({ ...columns, duplicate_of })
      .where('id', '=', one.id)
      .execute()
    return getConnection(trx, one.id)
  })
}

/** A duplicate goes on in place of its twin when that one was removed. */
async function standIn(trx: Db, one: Connection, at: number): Promise<Connection> {
  if (one.duplicate_of === null) return one
  const twin = await getConnection(trx, one.duplicate_of)
  return twin.removed_at === null ? one : takeUp(trx, { from: one, to: twin, at })
}

async function ensure(trx: Db, { provider, key, base_url }: EnvironmentKey, at: number) {
  const former = await findEnvironment(trx, provider)
  const row = { base_url, ...describeKey(key) }
  if (!former) return create(trx, { provider, ...row }, at)
  const is_new_key = former.key_hash !== row.key_hash
  const is_back = former.removed_at !== null
  if (!is_new_key && !is_back && former.base_url === base_url) return former.id
  await trx
    .updateTable('connection')
    .set({
      ...row,
      updated_at: at,
      removed_at: null,
      ...(is_new_key ? { paused_until: null } : {}),
    })
    .where('id', '=', former.id)
    .execute()
  if (is_new_key || is_back) {
    await wakeStreams(trx, former.id)
    const action = is_back ? 'connection.connect' : 'connection.replace'
    await audit(trx, { id: former.id, provider, ...row }, action, at)
  }
  return former.id
}

type Row = {
  readonly provider: string
  readonly base_url: string | null
  readonly fingerprint: string
  readonly key_hash: string | null
}

async function create(trx: Db, row: Row, at: number): Promise<string> {
  const { provider, base_url, fingerprint, key_hash } = row
  const usual = `env_${provider}`
  const taken = await trx
    .selectFrom('connection')
    .select('id')
    .where('id', '=', usual)
    .executeTakeFirst()
  const id = taken ? newId(usual) : usual
  await trx
    .insertInto('connection')
    .values({
      id,
      provider,
      name: ENVIRONMENT_NAME,
      origin: 'environment',
      base_url,
      fingerprint,
      key_hash,
      created_at: at,
      updated_at: at,
    })
    .execute()
  await audit(trx, { id, ...row }, 'connection.connect', at)
  return id
}

async function retire(trx: Db, one: Connection, at: number): Promise<void> {
  await trx
    .updateTable('connection')
    .set({ removed_at: at, updated_at: at })
    .where('id', '=', one.id)
    .execute()
  await audit(trx, one, 'connection.remove', at)
}

/** The variable holds another organisation's key: the former history ends, a new one begins. */
async function splitOff(trx: Db, one: Connection, at: number): Promise<Connection> {
  const { key_hash } = await rowOf(trx, one.id)
  await retire(trx, one, at)
  return getConnection(trx, await create(trx, { ...one, key_hash }, at))
}

/** The organisation was connected before: the history goes on, now with the environment's key. */
async function takeUp(
  trx: Db,
  { from, to, at }: { from: Connection; to: Connection; at: number },
): Promise<Connection> {
  const { key_hash } = await rowOf(trx, from.id)
  await trx
    .updateTable('connection')
    .set({ removed_at: at, updated_at: at, duplicate_of: to.id })
    .where('id', '=', from.id)
    .execute()
  await trx
    .updateTable('connection')
    .set({
      name: ENVIRONMENT_NAME,
      origin: 'environment',
      base_url: from.base_url,
      fingerprint: from.fingerprint,
      key_hash,
      updated_at: at,
      removed_at: null,
      paused_until: null,
    })
    .where('id', '=', to.id)
    .execute()
  await wakeStreams(trx, to.id)
  await audit(trx, { ...from, id: to.id }, 'connection.connect', at)
  return getConnection(trx, to.id)
}

function holdsOther({ organization_id }: Connection, organization: Organization): boolean {
  return organization_id !== null && organization_id !== organization.id
}

/** The live one of a provider, else the one that its variable named last. */
async function findEnvironment(trx: Db, provider: string) {
  const live = await findConnection(trx, { provider, name: ENVIRONMENT_NAME })
  if (live) return rowOf(trx, live.id)
  return trx
    .selectFrom('connection')
    .select(['id', 'key_hash', 'removed_at', 'base_url'])
    .where('provider', '=', provider)
    .where('origin', '=', 'environment')
    .where('duplicate_of', 'is', null)
    .orderBy('updated_at', 'desc')
    .limit(1)
    .executeTakeFirst()
}

async function rowOf(trx: Db, id: string) {
  return trx
    .selectFrom('connection')
    .select(['id', 'key_hash', 'removed_at', 'base_url'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
}

async function audit(
  trx: Db,
  { id, provider, fingerprint }: { id: string; provider: string; fingerprint: string },
  action: string,
  at: number,
): Promise<void> {
  const detail = { provider, name: ENVIRONMENT_NAME, fingerprint }
  await appendAudit(trx, { at, actor: ACTOR, action, subject: id, detail })
}

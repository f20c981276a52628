import { UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Secret } from '../secret.ts'
import type { UpstreamKeyTable } from '../store/budget-tables.ts'
import { bumpRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import { appendAudit } from './audit.ts'
import { DEFAULT_NAME, describeKey, parseConnectionName } from './connection.ts'
import type { Sealer } from './seal.ts'
import { inTransaction } from './transaction.ts'

/** A provider's own key for inference, which wrapped keys stand for. */
export type UpstreamKey = Omit<UpstreamKeyTable, 'sealed_key' | 'key_hash'>

export type NewUpstreamKey = {
  /** A provider's id, or the name of an OpenAI-compatible server. */
  readonly provider: string
  readonly is_compat: boolean
  readonly name?: string | undefined
  /** Null: the provider's real host. */
  readonly base_url: string | null
  /** Whose requests it serves; null: all others. */
  readonly workspace: string | null
  readonly key: Secret
  readonly at: number
  readonly actor: string
}

const COLUMNS = [
  'id',
  'provider',
  'name',
  'is_compat',
  'base_url',
  'workspace',
  'fingerprint',
  'created_at',
  'updated_at',
  'removed_at',
] as const satisfies readonly (keyof UpstreamKey)[]

const ROWS_MAX = 500

export async function listUpstreamKeys(db: Db): Promise<UpstreamKey[]> {
  return db
    .selectFrom('upstream_key')
    .select(COLUMNS)
    .where('removed_at', 'is', null)
    .orderBy('provider')
    .orderBy('name')
    .limit(ROWS_MAX)
    .execute()
}

/** Stores a key that was tested; the same name again replaces it, and the next request goes out with it. */
export async function saveUpstreamKey(
  db: Db,
  sealer: Sealer,
  given: NewUpstreamKey,
): Promise<UpstreamKey> {
  const { provider, key, at, actor, base_url, workspace } = given
  const name = parseConnectionName(given.name)
  return inTransaction(db, async (trx) => {
    const all = await listUpstreamKeys(trx)
    const former = all.find((one) => one.provider === provider && one.name === name)
    refuseTwin(all, { provider, name, workspace })
    const id = former?.id ?? newId('upk')
    const row = {
      provider,
      name,
      is_compat: given.is_compat ? 1 : 0,
      base_url,
      workspace,
      sealed_key: sealer.seal(key, upstreamSealContext(id)),
      ...describeKey(key),
      updated_at: at,
      removed_at: null,
    }
    await trx
      .insertInto('upstream_key')
      .values({ id, created_at: at, ...row })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
      .execute()
    await bumpRevision(trx, 'keys')
    await appendAudit(trx, {
      at,
      actor,
      action: former ? 'upstream_key.replace' : 'upstream_key.connect',
      subject: id,
      detail: { provider, name, fingerprint: row.fingerprint, workspace },
    })
    return getUpstreamKey(trx, id)
  })
}

/** Forgets the key: the next request for it is refused. */
export async function removeUpstreamKey(
  db: Db,
  given: { provider: string; name?: string | undefined; at: number; actor: string },
): Promise<UpstreamKey> {
  const { provider, name = DEFAULT_NAME, at, actor } = given
  return inTransaction(db, async (trx) => {
    const all = await listUpstreamKeys(trx)
    const found = all.find((one) => one.provider === provider && one.name === name)
    if (!found)
      throw new UserError(
        `There is no inference key of ${provider} "${name}". ${all.length > 0 ? `Connected: ${all.map((one) => `${one.provider} "${one.name}"`).join(', ')}.` : 'None is connected.'}`,
      )
    await trx
      .updateTable('upstream_key')
      .set({ sealed_key: null, key_hash: null, removed_at: at, updated_at: at })
      .where('id', '=', found.id)
      .execute()
    await bumpRevision(trx, 'keys')
    await appendAudit(trx, {
      at,
      actor,
      action: 'upstream_key.remove',
      subject: found.id,
      detail: { provider, name, fingerprint: found.fingerprint },
    })
    return getUpstreamKey(trx, found.id)
  })
}

export function upstreamSealContext(id: string): string {
  return `upstream_key/${id}`
}

async function getUpstreamKey(db: Db, id: string): Promise<UpstreamKey> {
  return db
    .selectFrom('upstream_key')
    .select(COLUMNS)
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
}

/** Which of two keys a request goes out with must not be a guess. */
function refuseTwin(
  all: readonly UpstreamKey[],
  { provider, name, workspace }: { provider: string; name: string; workspace: string | null },
): void {
  const twin = all.find(
    (one) => one.provider === provider && one.name !== name && one.workspace === workspace,
  )
  if (!twin) return
  const whose = workspace === null ? 'without a workspace' : `for the workspace "${workspace}"`
  throw new UserError(
    `There is an inference key of ${provider} ${whose} already: "${twin.name}" (${twin.fingerprint}). To replace it give its name (--name ${twin.name}); to use both give each its --workspace.`,
  )
}

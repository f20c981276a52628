import { hash, randomBytes } from 'node:crypto'
import { rankByDistance } from '../closest.ts'
import { UserError } from '../errors.ts'
import { newSecret } from '../ids.ts'
import { Secret } from '../secret.ts'
import type { WrappedKeyTable } from '../store/budget-tables.ts'
import { bumpRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import { type AuditDetail, appendAudit } from './audit.ts'
import { keepFormer } from './former-secret.ts'
import { inTransaction } from './transaction.ts'
import { parseKeyFields } from './wrapped-key-fields.ts'

/** What a wrapped key may do, and for whom; everything that can be changed later. */
export type WrappedKeyFields = {
  readonly name: string
  /** Providers, and names of OpenAI-compatible servers, that it opens. */
  readonly providers: readonly string[]
  /** Patterns with `*` on `<model>` or `<provider>/<model>`; none: all models. */
  readonly models: readonly string[]
  /** Addresses and ranges (`10.0.0.0/8`); none: all. */
  readonly addresses: readonly string[]
  readonly tags: Readonly<Record<string, string>>
  readonly user: string | null
  readonly workspace: string | null
  readonly on_limit: 'refuse' | 'clamp'
  readonly on_abort: 'stop' | 'drain'
  readonly requests_per_minute: number | null
  readonly tokens_per_minute: number | null
  readonly concurrent_requests: number | null
  readonly expires_at: number | null
}

export type WrappedKey = WrappedKeyFields & {
  readonly id: string
  readonly created_at: number
  readonly updated_at: number
  readonly paused_at: number | null
  readonly revoked_at: number | null
  readonly last_used_at: number | null
  /** Until when the secret before the last rotation is good. */
  readonly former_until: number | null
}

export type KeyState = 'active' | 'paused' | 'expired' | 'revoked'

/** Who asks and when. */
export type Asked = { readonly at: number; readonly actor: string }

const ID_BYTES = 8
const KEYS_MAX = 10_000

/** The whole text `olk_<id>_<secret>`, given out once; the store keeps the SHA-256 of its 256 random bits. */
export async function createWrappedKey(
  db: Db,
  fields: WrappedKeyFields,
  asked: Asked,
): Promise<{ key: WrappedKey; secret: Secret }> {
  const checked = parseKeyFields(fields, asked.at)
  const id = randomBytes(ID_BYTES).toString('hex')
  const secret = newKeySecret(id)
  const key = await inTransaction(db, async (trx) => {
    await refuseSameName(trx, checked.name, undefined)
    await trx
      .insertInto('wrapped_key')
      .values({
        ...columnsOf(checked),
        id,
        secret_hash: hashOfKey(secret.reveal()),
        created_at: asked.at,
        updated_at: asked.at,
      })
      .execute()
    await note(trx, id, { action: 'wrapped_key.create', ...asked }, detailOf(checked))
    return getWrappedKey(trx, id)
  })
  return { key, secret }
}

export async function listWrappedKeys(
  db: Db,
  { with_revoked = false }: { with_revoked?: boolean } = {},
): Promise<WrappedKey[]> {
  const rows = await db
    .selectFrom('wrapped_key')
    .selectAll()
    .$if(!with_revoked, (query) => query.where('revoked_at', 'is', null))
    .orderBy('name')
    .orderBy('created_at')
    .limit(KEYS_MAX)
    .execute()
  return rows.map(keyOf)
}

/** By id, or by the name of a live key. @throws UserError with the closest names; never repeats a secret. */
export async function getWrappedKey(db: Db, text: string): Promise<WrappedKey> {
  const all = await listWrappedKeys(db, { with_revoked: true })
  const wanted = idOfKey(text) ?? text
  const found =
    all.find(({ id }) => id === wanted) ??
    all.find(({ name, revoked_at }) => name === text && revoked_at === null)
  if (found) return found
  const names = all.filter(({ revoked_at }) => revoked_at === null).map(({ name }) => name)
  const near = rankByDistance(text, names, 3)
  const hint =
    names.length === 0
      ? 'There is none at all; create_wrapped_key makes one.'
      : `${near.length > 0 ? 'Closest' : 'Known'}: ${(near.length > 0 ? near : names.slice(0, 10)).join(', ')}.`
  const shown = text.startsWith('olk_') ? 'of that text' : `"${text.slice(0, 80)}"`
  throw new UserError(`There is no wrapped key ${shown}. ${hint}`)
}

/** Binds from the next request on. */
export async function changeWrappedKey(
  db: Db,
  id: string,
  changes: Partial<WrappedKeyFields>,
  asked: Asked,
): Promise<WrappedKey> {
  return inTransaction(db, async (trx) => {
    const before = await liveKey(trx, id)
    const checked = parseKeyFields({ ...fieldsOf(before), ...changes }, asked.at, before)
    await refuseSameName(trx, checked.name, before.id)
    await trx
      .updateTable('wrapped_key')
      .set({ ...columnsOf(checked), updated_at: asked.at })
      .where('id', '=', before.id)
      .execute()
    const detail = { ...detailOf(checked), changed: Object.keys(changes).sort().join(' ') }
    await note(trx, before.id, { action: 'wrapped_key.change', ...asked }, detail)
    return getWrappedKey(trx, before.id)
  })
}

/** Refused from the next request on, until it is resumed. Twice changes nothing. */
export async function pauseWrappedKey(db: Db, id: string, asked: Asked): Promise<WrappedKey> {
  return setPause(db, id, { paused_at: asked.at, action: 'wrapped_key.pause', ...asked })
}

export async function resumeWrappedKey(db: Db, id: string, asked: Asked): Promise<WrappedKey> {
  return setPause(db, id, { paused_at: null, action: 'wrapped_key.resume', ...asked })
}

/** A new secret for the same key; those before are good for `grace_ms` more at most, 0 for none. */
export async function rotateWrappedKey(
  db: Db,
  id: string,
  grace_ms: number,
  asked: Asked,
): Promise<{ key: WrappedKey; secret: Secret }> {
  return inTransaction(db, async (trx) => {
    const before = await liveKey(trx, id)
    const secret = newKeySecret(before.id)
    const row = await trx
      .selectFrom('wrapped_key')
      .select(['secret_hash', 'former_hash', 'former_until'])
      .where('id', '=', before.id)
      .executeTakeFirstOrThrow()
    const former = keepFormer(row, { grace_ms, at: asked.at })
    await trx
      .updateTable('wrapped_key')
      .set({
        secret_hash: hashOfKey(secret.reveal()),
        ...former,
        updated_at: asked.at,
      })
      .where('id', '=', before.id)
      .execute()
    const detail = { name: before.name, grace_ms }
    await note(trx, before.id, { action: 'wrapped_key.rotate', ...asked }, detail)
    return { key: await getWrappedKey(trx, before.id), secret }
  })
}

/** For good, from the next request on. Twice changes nothing. */
export async function revokeWrappedKey(db: Db, id: string, asked: Asked): Promise<WrappedKey> {
  return inTransaction(db, async (trx) => {
    const before = await getWrappedKey(trx, id)
    if (before.revoked_at !== null) return before
    await trx
      .updateTable('wrapped_key')
      .set({ revoked_at: asked.at, updated_at: asked.at, former_hash: null, former_until: null })
      .where('id', '=', before.id)
      .execute()
    const detail = { name: before.name }
    await note(trx, before.id, { action: 'wrapped_key.revoke', ...asked }, detail)
    return getWrappedKey(trx, before.id)
  })
}

export function keyState(key: WrappedKey, now: number): KeyState {
  if (key.revoked_at !== null) return 'revoked'
  if (key.expires_at !== null && key.expires_at <= now) return 'expired'
  return key.paused_at === null ? 'active' : 'paused'
}

/** What is looked up: of the whole text, so that another id with the same secret is another key. */
export function hashOfKey(text: string): string {
  return hash('sha256', text, 'base64url')
}

const KEY = /^olk_([0-9a-f]{16})_[\w-]{43}$/

/** The public part of a text that has a wrapped key's form. */
export function idOfKey(text: string): string | undefined {
  return KEY.exec(text)?.[1]
}

export function keyOf(row: RowOf): WrappedKey {
  const { secret_hash: _, former_hash: __, ...rest } = row
  return {
    ...rest,
    providers: JSON.parse(row.providers) as string[],
    models: JSON.parse(row.models) as string[],
    addresses: JSON.parse(row.addresses) as string[],
    tags: JSON.parse(row.tags) as Record<string, string>,
  }
}

type RowOf = WrappedKeyTable

function newKeySecret(id: string): Secret {
  return new Secret(`olk_${id}_${newSecret()}`)
}

async function liveKey(trx: Db, id: string): Promise<WrappedKey> {
  const key = await getWrappedKey(trx, id)
  if (key.revoked_at !== null)
    throw new UserError(`The key "${key.name}" was revoked, for good. Create another one.`)
  return key
}

async function setPause(
  db: Db,
  id: string,
  { paused_at, ...deed }: { paused_at: number | null; action: string } & Asked,
): Promise<WrappedKey> {
  return inTransaction(db, async (trx) => {
    const before = await liveKey(trx, id)
    if ((before.paused_at === null) === (paused_at === null)) return before
    await trx
      .updateTable('wrapped_key')
      .set({ paused_at, updated_at: deed.at })
      .where('id', '=', before.id)
      .execute()
    await note(trx, before.id, deed, { name: before.name })
    return getWrappedKey(trx, before.id)
  })
}

async function note(
  trx: Db,
  id: string,
  deed: { action: string } & Asked,
  detail: AuditDetail,
): Promise<void> {
  await bumpRevision(trx, 'keys')
  await appendAudit(trx, { ...deed, subject: id, detail })
}

/** Names are how people point at keys: two live keys of one name would make that a guess. */
async function refuseSameName(trx: Db, name: string, id: string | undefined): Promise<void> {
  const same = (await listWrappedKeys(trx)).find((one) => one.name === name && one.id !== id)
  if (same)
    throw new UserError(
      `There is a wrapped key "${name}" already (${same.id}). Take another name, or change that one.`,
    )
}

function fieldsOf(key: WrappedKey): WrappedKeyFields {
  const { id: _, created_at: _a, updated_at: _b, paused_at: _c, revoked_at: _d, ...rest } = key
  const { last_used_at: _e, former_until: _f, ...fields } = rest
  return fields
}

function columnsOf(fields: WrappedKeyFields) {
  const { providers, models, addresses, tags } = fields
  return {
    ...fields,
    providers: JSON.stringify(providers),
    models: JSON.stringify(models),
    addresses: JSON.stringify(addresses),
    tags: JSON.stringify(tags),
  }
}

function detailOf(fields: WrappedKeyFields): AuditDetail {
  return {
    name: fields.name,
    providers: fields.providers.join(' '),
    models: fields.models.join(' '),
    user: fields.user,
    workspace: fields.workspace,
    expires_at: fields.expires_at,
  }
}

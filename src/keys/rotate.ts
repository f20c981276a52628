import { sql } from 'kysely'
import { bumpRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import { appendAudit } from './audit.ts'
import { sealContext } from './connection.ts'
import { type Sealer, sealedWith } from './seal.ts'
import { secretPageContext } from './secret-page.ts'
import { upstreamSealContext } from './upstream-key.ts'

/**
 * Replaces the master key. The file first holds both keys, then every provider key is sealed again in
 * one transaction, then the old key goes: whenever it is cut short, each row's key is in the file.
 * The write lock is held while the file changes, so that rotations follow one another.
 * @throws UserError when the environment holds the key, or when a stored key cannot be opened.
 */
export async function rotateMasterKey(
  db: Db,
  sealer: Sealer,
  { at, actor }: { at: number; actor: string },
): Promise<{ key_id: string; resealed: number }> {
  // The old key must not go before the re-sealed rows are on disk for good.
  await sql`pragma synchronous = full`.execute(db)
  try {
    const result = await db.transaction().execute(async (trx) => {
      const opened = (await listSealed(trx)).map((one) => ({
        ...one,
        secret: sealer.open(one.sealed, one.context),
      }))
      const { id: key_id } = sealer.keys.add()
      for (const { secret, context, save } of opened) await save(sealer.seal(secret, context))
      await bumpRevision(trx, 'keys')
      const detail = { key_id, resealed: opened.length }
      await appendAudit(trx, { at, actor, action: 'master_key.rotate', subject: key_id, detail })
      return detail
    })
    await dropUnusedKeys(db, sealer)
    return result
  } finally {
    await sql`pragma synchronous = normal`.execute(db)
  }
}

/** Also tidies up after a rotation that was cut short. */
async function dropUnusedKeys(db: Db, sealer: Sealer): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const all = await listSealed(trx)
    sealer.keys.keep(new Set(all.map(({ sealed }) => sealedWith(sealed))))
  })
}

type Sealed = {
  readonly sealed: string
  readonly context: string
  save(sealed: string): Promise<unknown>
}

/** Everything in the store that only the master key opens. */
async function listSealed(db: Db): Promise<Sealed[]> {
  const connections = await db
    .selectFrom('connection')
    .select(['id', 'sealed_key'])
    .where('sealed_key', 'is not', null)
    .execute()
  const upstreams = await db
    .selectFrom('upstream_key')
    .select(['id', 'sealed_key'])
    .where('sealed_key', 'is not', null)
    .execute()
  const pages = await db
    .selectFrom('secret_page')
    .select(['nonce_hash', 'sealed_secret'])
    .where('sealed_secret', 'is not', null)
    .execute()
  return [
    ...connections.map(({ id, sealed_key }) => ({
      sealed: sealed_key ?? '',
      context: sealContext(id),
      save: (next: string) =>
        db.updateTable('connection').set({ sealed_key: next }).where('id', '=', id).execute(),
    })),
    ...upstreams.map(({ id, sealed_key }) => ({
      sealed: sealed_key ?? '',
      context: upstreamSealContext(id),
      save: (next: string) =>
        db.updateTable('upstream_key').set({ sealed_key: next }).where('id', '=', id).execute(),
    })),
    ...pages.map(({ nonce_hash, sealed_secret }) => ({
      sealed: sealed_secret ?? '',
      context: secretPageContext(nonce_hash),
      save: (next: string) =>
        db
          .updateTable('secret_page')
          .set({ sealed_secret: next })
          .where('nonce_hash', '=', nonce_hash)
          .execute(),
    })),
  ]
}

import { sql } from 'kysely'
import type { Db } from '../store/schema.ts'
import { appendAudit } from './audit.ts'
import { sealContext } from './connection.ts'
import { type Sealer, sealedWith } from './seal.ts'

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
      const opened = (await listSealed(trx)).map(({ id, sealed_key }) => ({
        id,
        key: sealer.open(sealed_key, sealContext(id)),
      }))
      const { id: key_id } = sealer.keys.add()
      for (const { id, key } of opened) {
        const sealed_key = sealer.seal(key, sealContext(id))
        await trx.updateTable('connection').set({ sealed_key }).where('id', '=', id).execute()
      }
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
    const sealed = await listSealed(trx)
    sealer.keys.keep(new Set(sealed.map(({ sealed_key }) => sealedWith(sealed_key))))
  })
}

async function listSealed(db: Db): Promise<{ id: string; sealed_key: string }[]> {
  return db
    .selectFrom('connection')
    .select(['id', 'sealed_key'])
    .where('sealed_key', 'is not', null)
    .$narrowType<{ sealed_key: string }>()
    .execute()
}

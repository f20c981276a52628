import { type Clock, DAY_MS, MINUTE_MS } from '../clock.ts'
import { newSecret, sha256 } from '../ids.ts'
import type { Secret } from '../secret.ts'
import type { Db } from '../store/schema.ts'
import type { Sealer } from './seal.ts'

/** A page that shows one new secret, once. Whoever knows its nonce may open it. */
export type SecretPage = {
  readonly title: string
  readonly state: 'open' | 'shown' | 'expired'
}

const PAGE_TTL_MS = 30 * MINUTE_MS

/** Any process may make the page; the owner of the side port serves it. Gives the nonce of its address. */
export async function createSecretPage(
  db: Db,
  sealer: Sealer,
  { title, secret, clock }: { title: string; secret: Secret; clock: Clock },
): Promise<string> {
  const nonce = newSecret()
  const created_at = clock.now()
  await db
    .deleteFrom('secret_page')
    .where('expires_at', '<', created_at - DAY_MS)
    .execute()
  await forgetExpired(db, created_at)
  await db
    .insertInto('secret_page')
    .values({
      nonce_hash: hashOf(nonce),
      title,
      sealed_secret: sealer.seal(secret, secretPageContext(hashOf(nonce))),
      created_at,
      expires_at: created_at + PAGE_TTL_MS,
      shown_at: null,
    })
    .execute()
  return nonce
}

export async function findSecretPage(
  db: Db,
  nonce: string,
  now: number,
): Promise<SecretPage | undefined> {
  const row = await db
    .selectFrom('secret_page')
    .select(['title', 'expires_at', 'shown_at'])
    .where('nonce_hash', '=', hashOf(nonce))
    .executeTakeFirst()
  if (!row) return undefined
  const { title, expires_at, shown_at } = row
  const state = shown_at !== null ? 'shown' : expires_at <= now ? 'expired' : 'open'
  return { title, state }
}

/** Takes the secret out of the store for good; undefined when it was taken before, or too late. */
export async function takeSecret(
  db: Db,
  sealer: Sealer,
  nonce: string,
  now: number,
): Promise<Secret | undefined> {
  const nonce_hash = hashOf(nonce)
  return db.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom('secret_page')
      .select('sealed_secret')
      .where('nonce_hash', '=', nonce_hash)
      .where('shown_at', 'is', null)
      .where('expires_at', '>', now)
      .executeTakeFirst()
    if (!row?.sealed_secret) return undefined
    await trx
      .updateTable('secret_page')
      .set({ sealed_secret: null, shown_at: now })
      .where('nonce_hash', '=', nonce_hash)
      .execute()
    return sealer.open(row.sealed_secret, secretPageContext(nonce_hash))
  })
}

export function secretPageContext(nonce_hash: string): string {
  return `secret_page/${nonce_hash}`
}

/** A secret that nobody fetched in time is nobody's; the key is rotated to get another. */
async function forgetExpired(db: Db, now: number): Promise<void> {
  await db
    .updateTable('secret_page')
    .set({ sealed_secret: null })
    .where('expires_at', '<=', now)
    .execute()
}

function hashOf(nonce: string): string {
  return sha256('secret page', nonce)
}

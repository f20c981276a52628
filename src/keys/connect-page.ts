import { type Clock, DAY_MS, MINUTE_MS } from '../clock.ts'
import { newSecret, sha256 } from '../ids.ts'
import type { Db } from '../store/schema.ts'

/** `admin` reads what an organisation uses and pays; `inference` is what the proxy sends requests on with. */
export type KeyKind = 'admin' | 'inference'

/** A page on which a person types one provider key. Whoever knows its nonce may use it, once. */
export type ConnectPage = {
  readonly provider: string
  readonly kind: KeyKind
  readonly name: string
  readonly expires_at: number
  readonly tries_left: number
  readonly state: 'open' | 'used' | 'expired' | 'exhausted'
}

const PAGE_TTL_MS = 15 * MINUTE_MS
const TRIES_MAX = 5

/** Any process may make the page; the owner of the side port serves it. Gives the nonce of its address. */
export async function createConnectPage(
  db: Db,
  { provider, kind, name, clock }: { provider: string; kind: KeyKind; name: string; clock: Clock },
): Promise<string> {
  const nonce = newSecret()
  const created_at = clock.now()
  await db
    .deleteFrom('connect_page')
    .where('expires_at', '<', created_at - DAY_MS)
    .execute()
  await db
    .insertInto('connect_page')
    .values({
      nonce_hash: hashOf(nonce),
      provider,
      kind,
      name,
      created_at,
      expires_at: created_at + PAGE_TTL_MS,
    })
    .execute()
  return nonce
}

export async function findConnectPage(
  db: Db,
  nonce: string,
  now: number,
): Promise<ConnectPage | undefined> {
  const row = await db
    .selectFrom('connect_page')
    .selectAll()
    .where('nonce_hash', '=', hashOf(nonce))
    .executeTakeFirst()
  if (!row) return undefined
  const { provider, kind, name, expires_at } = row
  return {
    provider,
    kind,
    name,
    expires_at,
    tries_left: TRIES_MAX - row.tries,
    state: stateOf(row, now),
  }
}

/** Spends one of the tries before a key goes to the provider. False: the page is not open any more. */
export async function spendConnectTry(db: Db, nonce: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('connect_page')
    .set((eb) => ({ tries: eb('tries', '+', 1) }))
    .where('nonce_hash', '=', hashOf(nonce))
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .where('tries', '<', TRIES_MAX)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Closes the page for good. False: it was closed before. */
export async function consumeConnectPage(db: Db, nonce: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('connect_page')
    .set({ used_at: now })
    .where('nonce_hash', '=', hashOf(nonce))
    .where('used_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

function stateOf(
  row: { used_at: number | null; expires_at: number; tries: number },
  now: number,
): ConnectPage['state'] {
  if (row.used_at !== null) return 'used'
  if (row.expires_at <= now) return 'expired'
  return row.tries >= TRIES_MAX ? 'exhausted' : 'open'
}

function hashOf(nonce: string): string {
  return sha256('connect page', nonce)
}

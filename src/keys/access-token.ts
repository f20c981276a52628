import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { MINUTE_MS } from '../clock.ts'
import { UserError } from '../errors.ts'
import { newSecret } from '../ids.ts'
import { Secret } from '../secret.ts'
import type { AccessTokenTable, Db } from '../store/schema.ts'
import { appendAudit } from './audit.ts'
import { inTransaction } from './transaction.ts'

/** `read`: ask; `write`: change budgets, keys and connections; `ingest`: send telemetry. */
export const SCOPES = ['read', 'write', 'ingest'] as const
export type Scope = (typeof SCOPES)[number]

export type AccessToken = {
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly created_at: number
  readonly expires_at: number | null
  readonly last_used_at: number | null
  readonly revoked_at: number | null
}

export type VerifiedToken = Pick<AccessToken, 'id' | 'name' | 'scopes'>

export type TokenProblem = {
  readonly reason: 'unknown' | 'expired' | 'revoked' | 'wrong_kind'
  /** A sentence for who sent it; never holds what was sent. */
  readonly message: string
}

const TOKEN = /^olt_([0-9a-f]{16})_([\w-]{43})$/
const ID_BYTES = 8
const ROWS_MAX = 500
const NEEDED = 'Here an access token (olt_…) belongs; this makes one: outlay tokens create'

/** The token is given out once; the store keeps the SHA-256 of its 256 random bits. */
export async function createAccessToken(
  db: Db,
  given: {
    name: string
    scopes: readonly Scope[]
    expires_at: number | null
    at: number
    actor: string
  },
): Promise<{ id: string; token: Secret }> {
  const { at, actor, expires_at } = given
  const name = parseName(given.name)
  const scopes = parseScopes(given.scopes)
  if (expires_at !== null && expires_at <= at)
    throw new UserError('The token would have expired already. Give a later instant.')
  const id = randomBytes(ID_BYTES).toString('hex')
  const secret = newSecret()
  await inTransaction(db, async (trx) => {
    await refuseSameName(trx, name, at)
    const row = { id, name, secret_hash: hashOf(secret).toString('hex'), scopes, expires_at }
    await trx
      .insertInto('access_token')
      .values({ ...row, created_at: at })
      .execute()
    const detail = { name, scopes, expires_at }
    await appendAudit(trx, { at, actor, action: 'access_token.create', subject: id, detail })
  })
  return { id, token: new Secret(`olt_${id}_${secret}`) }
}

/** Says whose token a text is, or why it is none. Which part of a token is wrong is not told. */
export async function verifyAccessToken(
  db: Db,
  text: string,
  at: number,
): Promise<VerifiedToken | TokenProblem> {
  const [, id, secret] = TOKEN.exec(text) ?? []
  if (!id || !secret) return refuseShape(text)
  const row = await db
    .selectFrom('access_token')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst()
  // An unknown id takes the same path, so that the time taken tells nothing.
  const expected = Buffer.from(row?.secret_hash ?? '00'.repeat(32), 'hex')
  if (!timingSafeEqual(expected, hashOf(secret)) || !row) return refuseUnknown()
  if (row.revoked_at !== null) return problem('revoked', `The token "${row.name}" was revoked.`)
  if (row.expires_at !== null && row.expires_at <= at)
    return problem('expired', `The token "${row.name}" has expired.`)
  await noteUse(db, row, at)
  return { id, name: row.name, scopes: scopesOf(row) }
}

export function isTokenProblem(result: VerifiedToken | TokenProblem): result is TokenProblem {
  return 'reason' in result
}

export async function listAccessTokens(db: Db): Promise<AccessToken[]> {
  const rows = await db
    .selectFrom('access_token')
    .selectAll()
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(ROWS_MAX)
    .execute()
  return rows.map(({ secret_hash: _, ...row }) => ({ ...row, scopes: scopesOf(row) }))
}

/** `token` is an id, the name of a live token, or a whole token. Revoking twice changes nothing. */
export async function revokeAccessToken(
  db: Db,
  { token, at, actor }: { token: string; at: number; actor: string },
): Promise<AccessToken> {
  return inTransaction(db, async (trx) => {
    const all = await listAccessTokens(trx)
    const wanted = TOKEN.exec(token)?.[1] ?? token
    const found =
      all.find(({ id }) => id === wanted) ??
      all.find(({ name, revoked_at }) => name === token && revoked_at === null)
    if (!found) throw unknownTokenError(token, all)
    if (found.revoked_at !== null) return found
    await trx
      .updateTable('access_token')
      .set({ revoked_at: at })
      .where('id', '=', found.id)
      .execute()
    const detail = { name: found.name }
    await appendAudit(trx, {
      at,
      actor,
      action: 'access_token.revoke',
      subject: found.id,
      detail,
    })
    return { ...found, revoked_at: at }
  })
}

/** At most one write a minute, whatever the traffic. */
async function noteUse(db: Db, row: AccessTokenTable, at: number): Promise<void> {
  if (row.last_used_at !== null && at - row.last_used_at < MINUTE_MS) return
  await db.updateTable('access_token').set({ last_used_at: at }).where('id', '=', row.id).execute()
}

function refuseShape(text: string): TokenProblem {
  if (text.startsWith('olk_'))
    return problem('wrong_kind', `This is a wrapped key (olk_…), which only the proxy takes.`)
  if (/^(sk|pk|rk|key)[-_]|^AIza|^gsk_|^xai-/.test(text))
    return problem('wrong_kind', 'This is a provider key, which is never sent to Outlay this way.')
  return refuseUnknown()
}

function refuseUnknown(): TokenProblem {
  return problem('unknown', 'This is not a known access token.')
}

function problem(reason: TokenProblem['reason'], message: string): TokenProblem {
  return { reason, message: `${message} ${NEEDED}` }
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function parseName(text: string): string {
  const name = text.trim()
  if (!/^[^\p{C}]{1,60}$/u.test(name))
    throw new UserError('A token needs a name of 1 to 60 characters, such as "build server".')
  return name
}

/** In the order of `SCOPES`, each once. */
function parseScopes(scopes: readonly string[]): string {
  const unknown = scopes.find((scope) => !SCOPES.some((known) => known === scope))
  if (unknown !== undefined || scopes.length === 0)
    throw new UserError(
      `${unknown === undefined ? 'A token needs a scope.' : `There is no scope "${unknown}".`} Scopes: ${SCOPES.join(', ')}.`,
    )
  return SCOPES.filter((scope) => scopes.includes(scope)).join(' ')
}

function scopesOf({ scopes }: { scopes: string }): readonly Scope[] {
  const given = scopes.split(' ')
  return SCOPES.filter((scope) => given.includes(scope))
}

/** Names are how people revoke; two live tokens of one name would make that a guess. */
async function refuseSameName(trx: Db, name: string, at: number): Promise<void> {
  const same = (await listAccessTokens(trx)).find((one) => one.name === name && isLive(one, at))
  if (same)
    throw new UserError(
      `There is a token "${name}" already (${same.id}). Take another name, or revoke that one first: outlay tokens revoke ${same.id}`,
    )
}

function isLive({ revoked_at, expires_at }: AccessToken, at: number): boolean {
  return revoked_at === null && (expires_at === null || expires_at > at)
}

function unknownTokenError(token: string, all: readonly AccessToken[]): UserError {
  const names = all.filter(({ revoked_at }) => revoked_at === null).map(({ name }) => `"${name}"`)
  const shown = token.startsWith('olt_') ? 'of that text' : `"${token}"`
  return new UserError(
    `There is no access token ${shown}. ${names.length > 0 ? `Known: ${names.slice(0, 20).join(', ')}.` : 'There is none at all.'}`,
  )
}

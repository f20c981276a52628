import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  createAccessToken,
  isTokenProblem,
  listAccessTokens,
  revokeAccessToken,
  type Scope,
  verifyAccessToken,
} from '../../src/keys/access-token.ts'
import { verifyAudit } from '../../src/keys/audit.ts'
import type { Db } from '../../src/store/schema.ts'
import { KEY, NOW, openKeyStore } from './fixture.ts'

function create(db: Db, given: { name?: string; scopes?: Scope[]; expires_at?: number } = {}) {
  const { name = 'build', scopes = ['read'], expires_at = null } = given
  return createAccessToken(db, { name, scopes, expires_at, at: NOW, actor: 'test' })
}

test('a token is told once, stored as a hash, and verified with its scopes', async () => {
  const { db, file } = await openKeyStore()
  const { id, token } = await create(db, { scopes: ['ingest', 'read', 'read'] })
  expect(String(token)).toBe('[secret]')
  expect(token.reveal()).toMatch(new RegExp(`^olt_${id}_[\\w-]{43}$`))
  expect(await verifyAccessToken(db, token.reveal(), NOW)).toEqual({
    id,
    name: 'build',
    scopes: ['read', 'ingest'],
  })
  const secret = token.reveal().slice(-43)
  for (const name of [file, `${file}-wal`]) expect(readFileSync(name).includes(secret)).toBe(false)
  expect(JSON.stringify(await listAccessTokens(db))).not.toMatch(/hash|secret/)
})

test('any other text is unknown, without saying which part', async () => {
  const { db } = await openKeyStore()
  const { token } = await create(db)
  const text = token.reveal()
  const flipped = text.at(-1) === 'A' ? 'B' : 'A'
  const others = [
    `${text.slice(0, -1)}${flipped}`,
    text.replace(/_[0-9a-f]{16}_/, `_${'0'.repeat(16)}_`),
  ]
  const answers = await Promise.all(
    [...others, '', 'olt_x', `${text}x`].map((other) => verifyAccessToken(db, other, NOW)),
  )
  for (const answer of answers) {
    expect(answer).toMatchObject({ reason: 'unknown' })
    expect(answer).toEqual(answers[0])
  }
})

test.each([
  [`olk_abc_${'x'.repeat(43)}`, 'wrapped key'],
  [KEY, 'provider key'],
  ['AIzaSyA1234567890', 'provider key'],
])('a secret of another kind is told what belongs here', async (text, kind) => {
  const { db } = await openKeyStore()
  const answer = await verifyAccessToken(db, text, NOW)
  if (!isTokenProblem(answer)) throw new Error('taken')
  expect(answer.reason).toBe('wrong_kind')
  expect(answer.message).toContain(kind)
  expect(answer.message).toContain('access token (olt_…)')
  expect(answer.message).not.toContain(text)
})

test('a token expires at its instant and can be revoked by name, id or text', async () => {
  const { db } = await openKeyStore()
  const { token } = await create(db, { expires_at: NOW + 10 })
  expect(await verifyAccessToken(db, token.reveal(), NOW + 9)).toMatchObject({ name: 'build' })
  expect(await verifyAccessToken(db, token.reveal(), NOW + 10)).toMatchObject({ reason: 'expired' })
  for (const [name, wanted] of [
    ['a', 'name'],
    ['b', 'id'],
    ['c', 'text'],
  ] as const) {
    const made = await create(db, { name })
    const text = { name, id: made.id, text: made.token.reveal() }[wanted]
    await revokeAccessToken(db, { token: text, at: NOW, actor: 'test' })
    const answer = await verifyAccessToken(db, made.token.reveal(), NOW)
    expect(answer).toMatchObject({ reason: 'revoked' })
  }
  expect(await verifyAudit(db)).toBeUndefined()
})

test('revoking names what there is and never repeats a token', async () => {
  const { db } = await openKeyStore()
  await create(db)
  const revoke = (token: string) => revokeAccessToken(db, { token, at: NOW, actor: 'test' })
  await expect(revoke('bild')).rejects.toThrow('no access token "bild". Known: "build".')
  const other = `olt_${'0'.repeat(16)}_${'x'.repeat(43)}`
  await expect(revoke(other)).rejects.toThrow('no access token of that text')
})

test('a use is written at most once a minute', async () => {
  const { db } = await openKeyStore()
  const { token } = await create(db)
  const seen: (number | null | undefined)[] = []
  for (const at of [NOW, NOW + 1_000, NOW + 59_999, NOW + 60_000]) {
    await verifyAccessToken(db, token.reveal(), at)
    seen.push((await listAccessTokens(db))[0]?.last_used_at)
  }
  expect(seen).toEqual([NOW, NOW, NOW, NOW + 60_000])
})

test('names, scopes and expiries that make no sense are refused', async () => {
  const { db } = await openKeyStore()
  await create(db)
  await expect(create(db)).rejects.toThrow('a token "build" already')
  await expect(create(db, { name: ' ' })).rejects.toThrow('name')
  await expect(create(db, { name: 'b', scopes: [] })).rejects.toThrow('Scopes: read, write, ingest')
  await expect(create(db, { name: 'b', scopes: ['admin' as Scope] })).rejects.toThrow('"admin"')
  await expect(create(db, { name: 'b', expires_at: NOW })).rejects.toThrow('expired')
})

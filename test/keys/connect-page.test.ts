import { expect, test } from 'vitest'
import { DAY_MS, fixedClock, MINUTE_MS } from '../../src/clock.ts'
import {
  consumeConnectPage,
  createConnectPage,
  findConnectPage,
  spendConnectTry,
} from '../../src/keys/connect-page.ts'
import { NOW, openKeyStore } from './fixture.ts'

async function openPage() {
  const { db } = await openKeyStore()
  const clock = fixedClock(NOW)
  const given = { provider: 'anthropic', kind: 'admin', name: 'default', clock } as const
  return { db, clock, given, nonce: await createConnectPage(db, given) }
}

test('a page is found by its nonce alone, which is not stored', async () => {
  const { db, nonce } = await openPage()
  expect(nonce).toMatch(/^[\w-]{43}$/)
  expect(await findConnectPage(db, nonce, NOW)).toMatchObject({ state: 'open', tries_left: 5 })
  expect(await findConnectPage(db, `${nonce}x`, NOW)).toBeUndefined()
  const rows = await db.selectFrom('connect_page').selectAll().execute()
  expect(JSON.stringify(rows)).not.toContain(nonce)
})

test('a page is used once, even by two at a time', async () => {
  const { db, nonce } = await openPage()
  const both = [consumeConnectPage(db, nonce, NOW), consumeConnectPage(db, nonce, NOW)]
  expect((await Promise.all(both)).sort()).toEqual([false, true])
  expect(await findConnectPage(db, nonce, NOW)).toMatchObject({ state: 'used' })
  expect(await spendConnectTry(db, nonce, NOW)).toBe(false)
})

test('a page closes after a quarter of an hour or five tries', async () => {
  const { db, nonce, given } = await openPage()
  const late = NOW + 15 * MINUTE_MS
  expect(await findConnectPage(db, nonce, late - 1)).toMatchObject({ state: 'open' })
  expect(await findConnectPage(db, nonce, late)).toMatchObject({ state: 'expired' })
  expect(await spendConnectTry(db, nonce, late)).toBe(false)
  const other = await createConnectPage(db, given)
  const tries = Array.from({ length: 7 }, () => spendConnectTry(db, other, NOW))
  expect((await Promise.all(tries)).filter(Boolean)).toHaveLength(5)
  expect(await findConnectPage(db, other, NOW)).toMatchObject({ state: 'exhausted', tries_left: 0 })
})

test('old pages go when a new one comes', async () => {
  const { db, clock, given } = await openPage()
  clock.set(NOW + 2 * DAY_MS)
  await createConnectPage(db, given)
  expect(await db.selectFrom('connect_page').selectAll().execute()).toHaveLength(1)
})

import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { appendAudit, verifyAudit } from '../../src/keys/audit.ts'
import type { Db } from '../../src/store/schema.ts'
import { NOW, openKeyStore } from './fixture.ts'

async function openFilled(count: number): Promise<Db> {
  const { db } = await openKeyStore()
  await db.transaction().execute(async (trx) => {
    for (let i = 0; i < count; i++)
      await appendAudit(trx, {
        at: NOW + i,
        actor: 'test',
        action: 'thing.do',
        subject: `thing_${i}`,
        detail: { b: i, a: 'x', nothing: null },
      })
  })
  return db
}

test('an untouched chain verifies, however long', async () => {
  expect(await verifyAudit(await openFilled(0))).toBeUndefined()
  expect(await verifyAudit(await openFilled(2_300))).toBeUndefined()
})

test.each([
  ['a changed detail', `update audit set detail = '{"a":"y"}' where id = 3`, 3],
  ['a changed time', 'update audit set at = at + 1 where id = 4', 4],
  ['a changed actor', `update audit set actor = 'other' where id = 1`, 1],
  ['a removed record', 'delete from audit where id = 3', 4],
  ['a removed first record', 'delete from audit where id = 1', 2],
  ['a swapped pair', `update audit set subject = 'thing_2' where id = 2`, 2],
  ['a forged hash', `update audit set hash = 'forged' where id = 5`, 5],
])('%s is found', async (_, tamper, id) => {
  const db = await openFilled(5)
  await sql.raw(tamper).execute(db)
  expect(await verifyAudit(db)).toBe(id)
})

test('a record is written with its deed or not at all', async () => {
  const { db } = await openKeyStore()
  const record = { at: NOW, actor: 'test', action: 'thing.do', subject: 'thing' }
  await expect(appendAudit(db, record)).rejects.toThrow('transaction')
  await expect(
    db.transaction().execute(async (trx) => {
      await appendAudit(trx, record)
      throw new Error('no')
    }),
  ).rejects.toThrow('no')
  expect(await db.selectFrom('audit').selectAll().execute()).toEqual([])
})

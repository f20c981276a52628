import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { verifyAudit } from '../../src/keys/audit.ts'
import {
  connectionKey,
  findConnection,
  listConnections,
  pauseConnection,
  removeConnection,
  saveConnection,
} from '../../src/keys/connection.ts'
import { Secret } from '../../src/secret.ts'
import { addStream, connection, KEY, NOW, OTHER_KEY, openKeyStore } from './fixture.ts'

test('a key comes back as it was typed, and is nowhere else', async () => {
  const { db, sealer, folder, file } = await openKeyStore()
  const saved = await saveConnection(db, sealer, connection())
  expect((await connectionKey(db, sealer, {}, saved.id)).reveal()).toBe(KEY)
  expect(saved).toMatchObject({ name: 'default', fingerprint: 'sk-ant-admin01-…9QAA' })
  expect(JSON.stringify([saved, await listConnections(db)])).not.toContain('sealed')
  const files = readdirSync(folder).filter((name) => name.startsWith('outlay.db'))
  expect(files).toContain('outlay.db-wal')
  for (const name of files) {
    const bytes = readFileSync(join(folder, name))
    expect(bytes.includes(KEY), name).toBe(false)
    expect(bytes.includes(KEY.slice(15, 40)), name).toBe(false)
  }
  expect(readFileSync(`${file}-wal`).includes('sk-ant-admin01-…9QAA')).toBe(true)
})

test('the same name again replaces the key and keeps the history', async () => {
  const { db, sealer } = await openKeyStore()
  const first = await saveConnection(db, sealer, connection())
  await addStream(db, first.id)
  await pauseConnection(db, first.id, NOW + 1)
  const key = new Secret(OTHER_KEY)
  const second = await saveConnection(db, sealer, connection({ key, at: NOW + 5 }))
  expect(second).toMatchObject({ id: first.id, created_at: NOW, updated_at: NOW + 5 })
  expect(second.paused_until).toBeNull()
  expect((await connectionKey(db, sealer, {}, first.id)).reveal()).toBe(OTHER_KEY)
  const stream = await db.selectFrom('sync_stream').selectAll().executeTakeFirstOrThrow()
  expect(stream).toMatchObject({ status: 'waiting', problem: null, next_due_at: 0, failures: 0 })
  expect(await listConnections(db)).toHaveLength(1)
})

test('a second connection to one organisation is refused, naming the first', async () => {
  const { db, sealer } = await openKeyStore()
  await saveConnection(db, sealer, connection({ name: 'work' }))
  await expect(saveConnection(db, sealer, connection())).rejects.toThrow(
    /"Acme", which is connected already under the name "work" \(sk-ant-admin01-…9QAA\).*twice.*outlay connect anthropic --name work/,
  )
  await saveConnection(db, sealer, connection({ provider: 'openai' }))
  expect(await listConnections(db)).toHaveLength(2)
})

test('a name does not change its organisation', async () => {
  const { db, sealer } = await openKeyStore()
  await saveConnection(db, sealer, connection())
  const other = connection({ organization: { id: 'org_2', name: 'Bolt' } })
  await expect(saveConnection(db, sealer, other)).rejects.toThrow(
    'belongs to the organisation "Bolt", but the anthropic connection "default" reads the organisation "Acme". To read both, give this one another name: outlay connect anthropic --name default-2',
  )
  await saveConnection(db, sealer, { ...other, name: 'default-2' })
})

test('removing forgets the key; connecting the organisation again goes on where it was', async () => {
  const { db, sealer } = await openKeyStore()
  const first = await saveConnection(db, sealer, connection())
  const removed = await removeConnection(db, { provider: 'anthropic', at: NOW + 1, actor: 'test' })
  expect(removed).toMatchObject({ id: first.id, removed_at: NOW + 1 })
  const row = await db.selectFrom('connection').selectAll().executeTakeFirstOrThrow()
  expect(row).toMatchObject({ sealed_key: null, key_hash: null })
  await expect(connectionKey(db, sealer, {}, first.id)).rejects.toThrow('removed')
  expect(await listConnections(db)).toEqual([])
  expect(await listConnections(db, { with_removed: true })).toHaveLength(1)
  const again = await saveConnection(db, sealer, connection({ name: 'new', at: NOW + 2 }))
  expect(again).toMatchObject({ id: first.id, name: 'new', removed_at: null })
  expect((await connectionKey(db, sealer, {}, first.id)).reveal()).toBe(KEY)
})

test('a removed name is free for another organisation', async () => {
  const { db, sealer } = await openKeyStore()
  const first = await saveConnection(db, sealer, connection())
  await removeConnection(db, { provider: 'anthropic', at: NOW, actor: 'test' })
  const other = connection({ organization: { id: 'org_2', name: 'Bolt' } })
  expect((await saveConnection(db, sealer, other)).id).not.toBe(first.id)
  expect(await findConnection(db, { provider: 'anthropic' })).toMatchObject({
    organization_name: 'Bolt',
  })
})

test('removing what is not there names what is', async () => {
  const { db, sealer } = await openKeyStore()
  const gone = { provider: 'openai', at: NOW, actor: 'test' }
  await expect(removeConnection(db, gone)).rejects.toThrow('Nothing is connected.')
  await saveConnection(db, sealer, connection({ name: 'work' }))
  await expect(removeConnection(db, gone)).rejects.toThrow('Connected: anthropic "work".')
})

test.each(['environment', '', '-x', 'a b', 'x'.repeat(41)])(
  '"%s" names no connection',
  async (name) => {
    const { db, sealer } = await openKeyStore()
    await expect(saveConnection(db, sealer, connection({ name }))).rejects.toThrow(/name/)
  },
)

test('what was done to connections stands in the audit, without a key', async () => {
  const { db, sealer } = await openKeyStore()
  await saveConnection(db, sealer, connection())
  await saveConnection(db, sealer, connection({ key: new Secret(OTHER_KEY), actor: 'page' }))
  await removeConnection(db, { provider: 'anthropic', at: NOW, actor: 'cli' })
  const rows = await db.selectFrom('audit').selectAll().orderBy('id').execute()
  expect(rows.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
    'test connection.connect',
    'page connection.replace',
    'cli connection.remove',
  ])
  expect(JSON.stringify(rows)).not.toContain(KEY.slice(15, 30))
  expect(JSON.stringify(rows)).toContain('sk-ant-admin01-…3wAA')
  expect(await verifyAudit(db)).toBeUndefined()
})

test("an organisation's name is made fit for one line", async () => {
  const { db, sealer } = await openKeyStore()
  const name = `Acme\n\u001b[31m\u202e ${'x'.repeat(300)}`
  const saved = await saveConnection(db, sealer, connection({ organization: { id: 'o', name } }))
  expect(saved.organization_name).toMatch(/^Acme \[31m x+$/)
  expect(saved.organization_name).toHaveLength(120)
})

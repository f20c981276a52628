import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { verifyAudit } from '../../src/keys/audit.ts'
import { connectionKey, removeConnection, saveConnection } from '../../src/keys/connection.ts'
import { rotateMasterKey } from '../../src/keys/rotate.ts'
import { openSealer } from '../../src/keys/seal.ts'
import { Secret } from '../../src/secret.ts'
import { connection, KEY, type KeyStore, NOW, OTHER_KEY, openKeyStore } from './fixture.ts'

const asked = { at: NOW, actor: 'test' }

async function openTwo() {
  const store = await openKeyStore()
  const first = await saveConnection(store.db, store.sealer, connection())
  const second = await saveConnection(
    store.db,
    store.sealer,
    connection({
      provider: 'openai',
      organization: { id: 'org_2', name: null },
      key: new Secret(OTHER_KEY),
    }),
  )
  const readAll = async () => {
    const sealer = openSealer({ master_key_file: store.key_file })
    const keys = [first, second].map(({ id }) => connectionKey(store.db, sealer, {}, id))
    return (await Promise.all(keys)).map((key) => key.reveal())
  }
  return { ...store, readAll }
}

const lines = ({ key_file }: KeyStore) => readFileSync(key_file, 'utf8').trim().split('\n')

test('a rotation seals every key again and drops the old master key', async () => {
  const store = await openTwo()
  const before = lines(store)
  const { resealed, key_id } = await rotateMasterKey(store.db, store.sealer, asked)
  expect(resealed).toBe(2)
  expect(lines(store)).toHaveLength(1)
  expect(lines(store)).not.toEqual(before)
  const rows = await store.db.selectFrom('connection').select('sealed_key').execute()
  expect(rows.every((row) => row.sealed_key?.startsWith(`v1.${key_id}.`))).toBe(true)
  expect(await store.readAll()).toEqual([KEY, OTHER_KEY])
  expect(await verifyAudit(store.db)).toBeUndefined()
})

test('cut short before, while and after sealing again, every key can still be read', async () => {
  const store = await openTwo()
  const { sealer } = store
  const fail = () => {
    throw new Error('cut short')
  }
  let sealed = 0
  const cuts = [
    { ...sealer, keys: { ...sealer.keys, add: fail } },
    { ...sealer, seal: fail },
    {
      ...sealer,
      seal: ((...given) => (sealed++ ? fail() : sealer.seal(...given))) as typeof sealer.seal,
    },
    { ...sealer, keys: { ...sealer.keys, keep: fail } },
  ]
  for (const cut of cuts) {
    await expect(rotateMasterKey(store.db, cut, asked)).rejects.toThrow('cut short')
    expect(await store.readAll()).toEqual([KEY, OTHER_KEY])
  }
  expect(lines(store).length).toBeGreaterThan(1)
  await rotateMasterKey(store.db, sealer, asked)
  expect(lines(store)).toHaveLength(1)
  expect(await store.readAll()).toEqual([KEY, OTHER_KEY])
})

test('a process killed while it rotates leaves every key readable', async () => {
  const store = await openTwo()
  const source = (path: string) =>
    JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
  const script = `
    import { openStore } from ${source('store/open.ts')}
    import { openSealer } from ${source('keys/seal.ts')}
    import { rotateMasterKey } from ${source('keys/rotate.ts')}
    const { db } = await openStore({ path: process.argv[1], driver: 'better-sqlite3', now: 0 })
    const sealer = openSealer({ master_key_file: process.argv[2] })
    process.stdout.write('ready')
    for (;;) await rotateMasterKey(db, sealer, { at: 0, actor: 'test' })`
  for (const delay_ms of [1, 7, 12, 18, 23]) {
    const child = spawn(process.execPath, [
      ...['--input-type=module', '-e', script],
      ...[store.file, store.key_file],
    ])
    await once(child.stdout, 'data')
    await new Promise((resolve) => setTimeout(resolve, delay_ms))
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(await store.readAll()).toEqual([KEY, OTHER_KEY])
  }
  expect(await verifyAudit(store.db)).toBeUndefined()
})

test('a sealer that was open before the rotation seals with the new key', async () => {
  const store = await openTwo()
  const other = openSealer({ master_key_file: store.key_file })
  other.seal(new Secret('something'), 'a')
  const { key_id } = await rotateMasterKey(store.db, store.sealer, asked)
  expect(other.seal(new Secret('something'), 'a').split('.')[1]).toBe(key_id)
})

test('removed connections hold nothing to seal', async () => {
  const store = await openTwo()
  await removeConnection(store.db, { provider: 'openai', ...asked })
  expect(await rotateMasterKey(store.db, store.sealer, asked)).toMatchObject({ resealed: 1 })
})

test('a key that cannot be opened stops the rotation and leaves the file alone', async () => {
  const store = await openTwo()
  const before = lines(store)
  await store.db.updateTable('connection').set({ sealed_key: 'v1.00000000.x' }).execute()
  await expect(rotateMasterKey(store.db, store.sealer, asked)).rejects.toThrow('outlay connect')
  expect(lines(store)).toEqual(before)
})

test('a master key of the environment is not rotated, and the way it tells works', async () => {
  const store = await openKeyStore()
  const text = 'a passphrase of more than thirty-two characters'
  const master_key = new Secret(text)
  const sealer = openSealer({ master_key, master_key_file: store.key_file })
  const { id } = await saveConnection(store.db, sealer, connection())
  await expect(rotateMasterKey(store.db, sealer, asked)).rejects.toThrow(
    `write its value into ${store.key_file} (chmod 600), unset OUTLAY_MASTER_KEY`,
  )
  store.sealer.keys.add()
  writeFileSync(store.key_file, text, { mode: 0o600 })
  await rotateMasterKey(store.db, store.sealer, asked)
  const again = openSealer({ master_key: new Secret(lines(store)[0] ?? ''), master_key_file: '' })
  expect((await connectionKey(store.db, again, {}, id)).reveal()).toBe(KEY)
})

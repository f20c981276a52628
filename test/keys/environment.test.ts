import { expect, test } from 'vitest'
import {
  connectionKey,
  listConnections,
  removeConnection,
  saveConnection,
} from '../../src/keys/connection.ts'
import { assignOrganization, ensureEnvironmentConnections } from '../../src/keys/environment.ts'
import { Secret } from '../../src/secret.ts'
import type { Db } from '../../src/store/schema.ts'
import { addStream, connection, KEY, NOW, OTHER_KEY, openKeyStore } from './fixture.ts'

const ACME = { id: 'org_1', name: 'Acme' }
const BOLT = { id: 'org_2', name: 'Bolt' }

function ensure(db: Db, key: string | undefined, at = NOW) {
  const keys = key ? [{ provider: 'anthropic', key: new Secret(key), base_url: null }] : []
  return ensureEnvironmentConnections(db, keys, at)
}

async function actions(db: Db): Promise<string[]> {
  const rows = await db.selectFrom('audit').select('action').orderBy('id').execute()
  return rows.map(({ action }) => action)
}

test('a key of the environment makes a connection that stores no key', async () => {
  const { db, sealer } = await openKeyStore()
  const [one] = await ensure(db, KEY)
  expect(one).toMatchObject({ id: 'env_anthropic', name: 'environment', origin: 'environment' })
  expect(await ensure(db, KEY, NOW + 9)).toEqual([one])
  expect(await actions(db)).toEqual(['connection.connect'])
  const row = await db.selectFrom('connection').selectAll().executeTakeFirstOrThrow()
  expect(row.sealed_key).toBeNull()
  const keys = { anthropic: new Secret(KEY) }
  expect((await connectionKey(db, sealer, keys, 'env_anthropic')).reveal()).toBe(KEY)
  await expect(connectionKey(db, sealer, {}, 'env_anthropic')).rejects.toThrow(
    'does not have. Set it, or store the key: outlay connect anthropic',
  )
})

test('a changed, unset and set variable is followed', async () => {
  const { db } = await openKeyStore()
  await ensure(db, KEY)
  await addStream(db, 'env_anthropic')
  const [changed] = await ensure(db, OTHER_KEY, NOW + 1)
  expect(changed).toMatchObject({ id: 'env_anthropic', fingerprint: 'sk-ant-admin01-…3wAA' })
  const stream = await db.selectFrom('sync_stream').selectAll().executeTakeFirstOrThrow()
  expect(stream.status).toBe('waiting')
  expect(await ensure(db, undefined, NOW + 2)).toEqual([])
  expect(await listConnections(db)).toEqual([])
  const [back] = await ensure(db, OTHER_KEY, NOW + 3)
  expect(back).toMatchObject({ id: 'env_anthropic', removed_at: null })
  expect(await actions(db)).toEqual(
    ['connect', 'replace', 'remove', 'connect'].map((action) => `connection.${action}`),
  )
})

test('keys that look alike are still told apart', async () => {
  const { db } = await openKeyStore()
  await ensure(db, KEY)
  await ensure(db, KEY.replace('Zk3v', 'Zk4v'), NOW + 1)
  expect(await actions(db)).toEqual(['connection.connect', 'connection.replace'])
})

test('an organisation that is stored already makes the variable a duplicate until that is removed', async () => {
  const { db, sealer } = await openKeyStore()
  const stored = await saveConnection(db, sealer, connection({ organization: ACME }))
  await ensure(db, OTHER_KEY)
  const given = { connection_id: 'env_anthropic', organization: ACME, at: NOW }
  expect(await assignOrganization(db, given)).toMatchObject({ duplicate_of: stored.id })
  // Replacing the stored key is still possible, a third connection is not.
  await saveConnection(db, sealer, connection({ organization: ACME, key: new Secret(OTHER_KEY) }))
  await expect(
    saveConnection(db, sealer, connection({ organization: ACME, name: 'third' })),
  ).rejects.toThrow('twice')
  await removeConnection(db, { provider: 'anthropic', at: NOW + 1, actor: 'test' })
  const [one] = await ensure(db, OTHER_KEY, NOW + 2)
  expect(one).toMatchObject({ id: stored.id, origin: 'environment', duplicate_of: null })
  expect(await ensure(db, OTHER_KEY, NOW + 3)).toEqual([one])
  expect(await listConnections(db)).toEqual([one])
})

test('an organisation of the environment is not stored a second time', async () => {
  const { db, sealer } = await openKeyStore()
  await ensure(db, KEY)
  await assignOrganization(db, { connection_id: 'env_anthropic', organization: ACME, at: NOW })
  await expect(saveConnection(db, sealer, connection({ organization: ACME }))).rejects.toThrow(
    'unset the variable and connect again',
  )
  await expect(
    removeConnection(db, { provider: 'anthropic', name: 'environment', at: NOW, actor: 'test' }),
  ).rejects.toThrow('Unset the variable')
  await ensure(db, undefined, NOW + 1)
  const stored = await saveConnection(db, sealer, connection({ organization: ACME }))
  expect(stored).toMatchObject({ id: 'env_anthropic', origin: 'stored', name: 'default' })
  const [back] = await ensure(db, KEY, NOW + 2)
  const given = { connection_id: back?.id ?? '', organization: ACME, at: NOW + 3 }
  expect(await assignOrganization(db, given)).toMatchObject({ duplicate_of: stored.id })
})

test("a variable that holds another organisation's key ends one history and begins another", async () => {
  const { db } = await openKeyStore()
  await ensure(db, KEY)
  const acme = await assignOrganization(db, {
    connection_id: 'env_anthropic',
    organization: ACME,
    at: NOW,
  })
  const [changed] = await ensure(db, OTHER_KEY, NOW + 1)
  const bolt = await assignOrganization(db, {
    connection_id: changed?.id ?? '',
    organization: BOLT,
    at: NOW + 1,
  })
  expect(bolt.id).not.toBe(acme.id)
  expect(await listConnections(db)).toMatchObject([{ id: bolt.id, organization_name: 'Bolt' }])
  const [again] = await ensure(db, KEY, NOW + 2)
  const back = await assignOrganization(db, {
    connection_id: again?.id ?? '',
    organization: ACME,
    at: NOW + 2,
  })
  expect(back).toMatchObject({ id: acme.id, organization_name: 'Acme', removed_at: null })
  expect(await ensure(db, KEY, NOW + 3)).toEqual([back])
})

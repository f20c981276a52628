import { readFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fixedClock, HOUR_MS, MINUTE_MS } from '../../src/clock.ts'
import { verifyAudit } from '../../src/keys/audit.ts'
import { openKeyring } from '../../src/keys/keyring.ts'
import { createPlan, takePlan } from '../../src/keys/plan.ts'
import { isKeyProblem } from '../../src/keys/proxy-key.ts'
import { rotateMasterKey } from '../../src/keys/rotate.ts'
import { openSealer } from '../../src/keys/seal.ts'
import { createSecretPage, findSecretPage, takeSecret } from '../../src/keys/secret-page.ts'
import { removeUpstreamKey, saveUpstreamKey } from '../../src/keys/upstream-key.ts'
import {
  changeWrappedKey,
  createWrappedKey,
  getWrappedKey,
  listWrappedKeys,
  pauseWrappedKey,
  resumeWrappedKey,
  revokeWrappedKey,
  rotateWrappedKey,
  type WrappedKeyFields,
} from '../../src/keys/wrapped-key.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open.ts'
import { KEY, NOW, openKeyStore } from './fixture.ts'

const asked = { at: NOW, actor: 'test' }
const INFERENCE_KEY = 'sk-ant-api03-Zk3vQ8mT1xW5rB9nL2pD7cH4jF6sG0yUeVaIoXqR9QAA'

function fields(given: Partial<WrappedKeyFields> = {}): WrappedKeyFields {
  return {
    name: 'search',
    providers: ['anthropic'],
    models: [],
    addresses: [],
    tags: {},
    user: null,
    workspace: null,
    on_limit: 'refuse',
    on_abort: 'stop',
    requests_per_minute: null,
    tokens_per_minute: null,
    concurrent_requests: null,
    expires_at: null,
    ...given,
  }
}

async function open() {
  const store = await openKeyStore()
  const ring = openKeyring({
    store_path: store.file,
    store_driver: 'better-sqlite3',
    sealer: store.sealer,
  })
  onTestFinished(() => ring.close())
  /** In a turn of its own, as requests come. */
  const resolve = async (secret: Secret | string, at = NOW) => {
    await new Promise((done) => setImmediate(done))
    return ring.resolveKey(typeof secret === 'string' ? secret : secret.reveal(), at)
  }
  return { ...store, ring, resolve }
}

describe('a wrapped key', () => {
  test('is told once, stored as a hash, and resolves to what it allows', async () => {
    const { db, file, resolve } = await open()
    const { key, secret } = await createWrappedKey(
      db,
      fields({
        providers: ['anthropic', 'groq'],
        models: ['claude-*-5*', 'groq/llama-*'],
        addresses: ['10.0.0.0/8', '2001:db8::/32'],
        tags: { team: 'search' },
        user: 'ada',
        workspace: 'w1',
        requests_per_minute: 60,
      }),
      asked,
    )
    expect(String(secret)).toBe('[secret]')
    expect(secret.reveal()).toMatch(new RegExp(`^olk_${key.id}_[\\w-]{43}$`))
    const found = await resolve(secret)
    if (isKeyProblem(found)) throw new Error(found.message)
    expect(found).toMatchObject({
      id: key.id,
      name: 'search',
      providers: ['anthropic', 'groq'],
      tags: { team: 'search' },
      user: 'ada',
      workspace: 'w1',
      limits: { requests_per_minute: 60, tokens_per_minute: null, concurrent_requests: null },
    })
    const models = [
      ['anthropic', 'claude-sonnet-5-20260101', true],
      ['anthropic', 'Claude-Opus-5', true],
      ['anthropic', 'claude-sonnet-4', false],
      ['groq', 'llama-4', true],
      ['anthropic', 'llama-4', false],
    ] as const
    for (const [provider, model, is_allowed] of models)
      expect(found.allowsModel(provider, model)).toBe(is_allowed)
    for (const address of ['10.1.2.3', '2001:db8::1'])
      expect(found.allowsAddress(address)).toBe(true)
    for (const address of ['11.0.0.1', '2001:db9::1', 'nonsense'])
      expect(found.allowsAddress(address)).toBe(false)
    const bytes = [file, `${file}-wal`].map((name) => readFileSync(name))
    for (const one of bytes) expect(one.includes(secret.reveal().slice(-43))).toBe(false)
    expect(JSON.stringify(await listWrappedKeys(db))).not.toMatch(/hash/)
  })

  test('narrowed, paused or revoked by another process, it is so at the next request', async () => {
    const { db, file, resolve } = await open()
    const other = await openStore({ path: file, driver: 'node', now: NOW })
    onTestFinished(() => other.close())
    const { key, secret } = await createWrappedKey(db, fields(), asked)
    expect(isKeyProblem(await resolve(secret))).toBe(false)
    await changeWrappedKey(other.db, key.id, { models: ['claude-haiku-*'] }, asked)
    const narrowed = await resolve(secret)
    expect(isKeyProblem(narrowed) || narrowed.allowsModel('anthropic', 'claude-opus-5')).toBe(false)
    await pauseWrappedKey(other.db, 'search', asked)
    expect(await resolve(secret)).toMatchObject({ problem: 'paused' })
    await resumeWrappedKey(other.db, 'search', asked)
    expect(isKeyProblem(await resolve(secret))).toBe(false)
    await revokeWrappedKey(other.db, key.id, asked)
    await revokeWrappedKey(db, key.id, asked)
    expect(await resolve(secret)).toMatchObject({ problem: 'revoked' })
    await expect(resumeWrappedKey(db, key.id, asked)).rejects.toThrow('for good')
    expect(await verifyAudit(db)).toBeUndefined()
    const deeds = await db.selectFrom('audit').select('action').execute()
    expect(deeds.map(({ action }) => action.split('.')[1])).toEqual([
      'create',
      'change',
      'pause',
      'resume',
      'revoke',
    ])
  })

  test('rotates with grace and without', async () => {
    const { db, resolve } = await open()
    const { key, secret: first } = await createWrappedKey(db, fields(), asked)
    const { secret: second } = await rotateWrappedKey(db, key.id, HOUR_MS, asked)
    for (const secret of [first, second])
      expect(await resolve(secret, NOW + HOUR_MS - 1)).toMatchObject({ id: key.id })
    expect(await resolve(first, NOW + HOUR_MS)).toMatchObject({ problem: 'revoked' })
    const { secret: third } = await rotateWrappedKey(db, key.id, 0, asked)
    for (const secret of [first, second])
      expect(await resolve(secret)).toMatchObject({ problem: 'unknown' })
    expect(await resolve(third)).toMatchObject({ id: key.id })
  })

  test('rotates again while an older secret has its grace, which it keeps', async () => {
    const { db, resolve } = await open()
    const { key, secret: first } = await createWrappedKey(db, fields(), asked)
    const rotate = (grace_ms: number, after_ms: number) =>
      rotateWrappedKey(db, key.id, grace_ms, { ...asked, at: NOW + after_ms })
    const { secret: lost } = await rotate(HOUR_MS, 0)
    const { secret: second } = await rotate(HOUR_MS, 10)
    expect(await resolve(first, NOW + HOUR_MS - 1)).toMatchObject({ id: key.id })
    expect(await resolve(first, NOW + HOUR_MS)).toMatchObject({ problem: 'revoked' })
    expect(await resolve(lost, NOW + HOUR_MS)).toMatchObject({ id: key.id })
    expect(await resolve(lost, NOW + HOUR_MS + 10)).toMatchObject({ problem: 'revoked' })
    // A shorter grace is one for all of them.
    await rotate(100, 20)
    for (const secret of [first, lost, second])
      expect(await resolve(secret, NOW + 120)).toMatchObject({ problem: 'revoked' })
  })

  test('expires at its instant', async () => {
    const { db, resolve } = await open()
    const { secret } = await createWrappedKey(db, fields({ expires_at: NOW + 10 }), asked)
    expect(await resolve(secret, NOW + 9)).toMatchObject({ name: 'search' })
    expect(await resolve(secret, NOW + 10)).toMatchObject({ problem: 'expired' })
  })

  test('any other text is unknown or of the wrong kind, and is never repeated', async () => {
    const { db, resolve } = await open()
    const { secret } = await createWrappedKey(db, fields(), asked)
    const text = secret.reveal()
    const others = [
      [`${text.slice(0, -1)}${text.endsWith('A') ? 'B' : 'A'}`, 'unknown'],
      [text.replace(/_[0-9a-f]{16}_/, `_${'0'.repeat(16)}_`), 'unknown'],
      [`olt_0123456789abcdef_${'x'.repeat(43)}`, 'wrong_kind'],
      [KEY, 'wrong_kind'],
      ['', 'unknown'],
    ] as const
    for (const [other, problem] of others) {
      const found = await resolve(other)
      if (!isKeyProblem(found)) throw new Error('taken')
      expect(found.problem).toBe(problem)
      if (other !== '') expect(found.message).not.toContain(other)
    }
  })

  test('a use is noted at most once a minute', async () => {
    const { db, resolve } = await open()
    const { key, secret } = await createWrappedKey(db, fields(), asked)
    const seen: (number | null)[] = []
    for (const at of [NOW, NOW + 1_000, NOW + MINUTE_MS]) {
      await resolve(secret, at)
      seen.push((await getWrappedKey(db, key.id)).last_used_at)
    }
    expect(seen).toEqual([NOW, NOW, NOW + MINUTE_MS])
  })

  test.each([
    [{ name: ' ' }, 'name'],
    [{ providers: [] }, 'at least one provider'],
    [{ addresses: ['10.0.0.0/33'] }, '10.0.0.0/8'],
    [{ expires_at: NOW }, 'expired already'],
    [{ requests_per_minute: 0 }, 'requests_per_minute'],
    [{ tags: { 'a b': 'c' } }, 'tags'],
  ])('fields that make no sense are refused: %o', async (given, message) => {
    const { db } = await open()
    await expect(createWrappedKey(db, fields(given), asked)).rejects.toThrow(message)
  })

  test('a name is taken once among live keys, and unknown ones get the closest', async () => {
    const { db } = await open()
    const { key } = await createWrappedKey(db, fields(), asked)
    await expect(createWrappedKey(db, fields(), asked)).rejects.toThrow('already')
    await expect(getWrappedKey(db, 'serch')).rejects.toThrow('Closest: search')
    await revokeWrappedKey(db, key.id, asked)
    await createWrappedKey(db, fields(), asked)
  })
})

describe('a provider key for inference', () => {
  const upstream = (given: object = {}) => ({
    provider: 'anthropic',
    is_compat: false,
    base_url: null,
    workspace: null,
    key: new Secret(INFERENCE_KEY),
    ...asked,
    ...given,
  })

  test('stands behind a wrapped key, by workspace, until it is removed', async () => {
    const { db, sealer, ring, file } = await open()
    const turn = () => new Promise((done) => setImmediate(done))
    const { key } = await createWrappedKey(db, fields({ workspace: 'w1' }), asked)
    expect(await ring.upstreamKey('anthropic', key)).toBeNull()
    await saveUpstreamKey(db, sealer, upstream())
    await turn()
    expect((await ring.upstreamKey('anthropic', key))?.reveal()).toBe(INFERENCE_KEY)
    const own = new Secret(INFERENCE_KEY.replace('Zk3v', 'Own1'))
    await expect(saveUpstreamKey(db, sealer, upstream({ name: 'b', key: own }))).rejects.toThrow(
      'already',
    )
    await saveUpstreamKey(db, sealer, upstream({ name: 'b', workspace: 'w1', key: own }))
    await turn()
    expect((await ring.upstreamKey('anthropic', key))?.reveal()).toBe(own.reveal())
    expect((await ring.upstreamKey('anthropic', { id: 'x' }))?.reveal()).toBe(INFERENCE_KEY)
    await removeUpstreamKey(db, { provider: 'anthropic', ...asked })
    await turn()
    expect(await ring.upstreamKey('anthropic', { id: 'x' })).toBeNull()
    expect(readFileSync(file).includes(INFERENCE_KEY.slice(20))).toBe(false)
  })

  test('of an OpenAI-compatible server has its address', async () => {
    const { db, sealer, ring } = await open()
    const given = { provider: 'groq', is_compat: true, base_url: 'https://api.groq.com/openai/v1' }
    await saveUpstreamKey(db, sealer, upstream(given))
    expect(await ring.compatBaseUrl('groq')).toBe(given.base_url)
    expect(await ring.compatBaseUrl('anthropic')).toBeNull()
    expect(ring.upstreamBaseUrl('groq')).toBeUndefined()
  })

  test('is sealed again when the master key is rotated, as a secret that waits is', async () => {
    const { db, sealer, ring, key_file } = await open()
    await saveUpstreamKey(db, sealer, upstream())
    const clock = fixedClock(NOW)
    const nonce = await createSecretPage(db, sealer, {
      title: 'search',
      secret: new Secret('olk_waiting'),
      clock,
    })
    const { resealed } = await rotateMasterKey(db, sealer, asked)
    expect(resealed).toBe(2)
    const fresh = openSealer({ master_key_file: key_file })
    expect((await takeSecret(db, fresh, nonce, NOW))?.reveal()).toBe('olk_waiting')
    expect((await ring.upstreamKey('anthropic', { id: 'x' }))?.reveal()).toBe(INFERENCE_KEY)
  })
})

test('a secret is shown once, by its nonce, for half an hour', async () => {
  const { db, sealer, file } = await open()
  const clock = fixedClock(NOW)
  const make = () =>
    createSecretPage(db, sealer, { title: 'search', secret: new Secret('olk_new_key_text'), clock })
  const nonce = await make()
  expect(await findSecretPage(db, nonce, NOW)).toEqual({ title: 'search', state: 'open' })
  const both = await Promise.all([1, 2].map(() => takeSecret(db, sealer, nonce, NOW)))
  expect(both.map((secret) => secret?.reveal())).toEqual(['olk_new_key_text', undefined])
  expect(await findSecretPage(db, nonce, NOW)).toMatchObject({ state: 'shown' })
  const late = await make()
  expect(await takeSecret(db, sealer, late, NOW + 30 * MINUTE_MS)).toBeUndefined()
  expect(await findSecretPage(db, late, NOW + 30 * MINUTE_MS)).toMatchObject({ state: 'expired' })
  expect(readFileSync(`${file}-wal`).includes('olk_new_key_text')).toBe(false)
})

test('a plan is carried out once, by its own tool, in time', async () => {
  const { db } = await open()
  const deed = { tool: 'set_budget', action: 'remove', subject: 'bud_1', argument: null }
  const id = await createPlan(db, deed, NOW)
  await expect(takePlan(db, id, 'update_wrapped_key', NOW)).rejects.toThrow('set_budget')
  expect(await takePlan(db, id, 'set_budget', NOW)).toEqual(deed)
  await expect(takePlan(db, id, 'set_budget', NOW)).rejects.toThrow('before')
  const old = await createPlan(db, deed, NOW)
  await expect(takePlan(db, old, 'set_budget', NOW + 10 * MINUTE_MS)).rejects.toThrow('too old')
  await expect(takePlan(db, 'plan_x', 'set_budget', NOW)).rejects.toThrow('no such plan')
})

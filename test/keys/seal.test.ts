import { execFile } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { UserError } from '../../src/errors.ts'
import { openSealer } from '../../src/keys/seal.ts'
import { Secret } from '../../src/secret.ts'
import { KEY, temporaryFolder } from './fixture.ts'

const secret = new Secret(KEY)
const RACES = 40

test('what is sealed opens again, in its context only', () => {
  const master_key_file = join(temporaryFolder(), 'home', 'master.key')
  const sealed = openSealer({ master_key_file }).seal(secret, 'connection/a')
  expect(sealed).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]{16}\.[\w-]+$/)
  expect(openSealer({ master_key_file }).open(sealed, 'connection/a').reveal()).toBe(KEY)
  expect(() => openSealer({ master_key_file }).open(sealed, 'connection/b')).toThrow(UserError)
})

test('the same secret is never sealed to the same text', () => {
  const sealer = openSealer({ master_key_file: join(temporaryFolder(), 'master.key') })
  const texts = Array.from({ length: 100 }, () => sealer.seal(secret, 'a'))
  expect(new Set(texts).size).toBe(100)
})

test('a changed text does not open, wherever it was changed', () => {
  const sealer = openSealer({ master_key_file: join(temporaryFolder(), 'master.key') })
  const sealed = sealer.seal(secret, 'a')
  for (let i = 0; i < sealed.length - 1; i++) {
    const changed = `${sealed.slice(0, i)}${sealed[i] === 'b' ? 'c' : 'b'}${sealed.slice(i + 1)}`
    expect(() => sealer.open(changed, 'a'), `at ${i}`).toThrow(UserError)
  }
  expect(() => sealer.open('', 'a')).toThrow('changed')
})

test('the key file appears when something is sealed, for its owner only', () => {
  const master_key_file = join(temporaryFolder(), 'home', 'master.key')
  const sealer = openSealer({ master_key_file })
  expect(existsSync(master_key_file)).toBe(false)
  sealer.seal(secret, 'a')
  expect(statSync(master_key_file).mode & 0o777).toBe(0o600)
  expect(statSync(join(master_key_file, '..')).mode & 0o777).toBe(0o700)
  expect(readdirSync(join(master_key_file, '..'))).toEqual(['master.key'])
})

test('opening never makes a key file: it says which key is missing', () => {
  const folder = temporaryFolder()
  const sealed = openSealer({ master_key_file: join(folder, 'a.key') }).seal(secret, 'a')
  const needed = sealed.split('.')[1]
  const master_key_file = join(folder, 'b.key')
  expect(() => openSealer({ master_key_file }).open(sealed, 'a')).toThrow(
    `sealed with master key "${needed}", but ${master_key_file} is not there`,
  )
  expect(existsSync(master_key_file)).toBe(false)
})

test('another master key is told apart from damage, and says what to do', () => {
  const folder = temporaryFolder()
  const sealed = openSealer({ master_key_file: join(folder, 'a.key') }).seal(secret, 'a')
  const other = openSealer({ master_key: new Secret('x'.repeat(32)), master_key_file: '' })
  expect(() => other.open(sealed, 'a')).toThrow(
    /sealed with master key "[0-9a-f]{8}", but OUTLAY_MASTER_KEY holds "[0-9a-f]{8}".*outlay connect/,
  )
})

test.each([0o640, 0o604, 0o660, 0o644])('a key file of mode %o is refused', (mode) => {
  const master_key_file = join(temporaryFolder(), 'master.key')
  const sealer = openSealer({ master_key_file })
  const sealed = sealer.seal(secret, 'a')
  chmodSync(master_key_file, mode)
  expect(() => sealer.open(sealed, 'a')).toThrow(`chmod 600 '${master_key_file}'`)
  expect(() => sealer.seal(secret, 'a')).toThrow('chmod 600')
  chmodSync(master_key_file, 0o400)
  expect(sealer.open(sealed, 'a').reveal()).toBe(KEY)
})

test('an empty or cut key file is refused, not replaced', () => {
  const master_key_file = join(temporaryFolder(), 'master.key')
  for (const text of ['', '\n', 'c2hvcnQ\n']) {
    writeFileSync(master_key_file, text, { mode: 0o600 })
    expect(() => openSealer({ master_key_file }).seal(secret, 'a')).toThrow(UserError)
    expect(readFileSync(master_key_file, 'utf8')).toBe(text)
  }
})

test('the environment takes the same 32 bytes as hex, base64 or base64url', () => {
  const bytes = Buffer.from(Array.from({ length: 32 }, (_, i) => 255 - i * 3))
  const texts = [
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    bytes.toString('base64'),
    bytes.toString('base64url'),
    ` ${bytes.toString('base64')}\n`,
  ]
  const sealers = texts.map((text) =>
    openSealer({ master_key: new Secret(text), master_key_file: '' }),
  )
  const sealed = sealers[0]?.seal(secret, 'a') ?? ''
  for (const sealer of sealers) expect(sealer.open(sealed, 'a').reveal()).toBe(KEY)
})

test('a long passphrase is a master key, a short text is not', () => {
  const phrase = () =>
    openSealer({
      master_key: new Secret('correct horse battery staple, more or less'),
      master_key_file: '',
    })
  expect(phrase().open(phrase().seal(secret, 'a'), 'a').reveal()).toBe(KEY)
  expect(() => openSealer({ master_key: new Secret('hunter2'), master_key_file: '' })).toThrow(
    'OUTLAY_MASTER_KEY is too short',
  )
})

test('processes that start together end with one key, time after time', async () => {
  const folder = temporaryFolder()
  const script = `
    import { openSealer } from ${JSON.stringify(new URL('../../src/keys/seal.ts', import.meta.url).href)}
    import { Secret } from ${JSON.stringify(new URL('../../src/secret.ts', import.meta.url).href)}
    const [, folder, start_at] = process.argv
    for (let round = 0; round < ${RACES}; round++) {
      const sealer = openSealer({ master_key_file: folder + '/home/' + round + '.key' })
      while (Date.now() < Number(start_at) + round * 20) ;
      console.log(sealer.seal(new Secret('the secret'), 'a'))
    }`
  const start_at = String(Date.now() + 1_200)
  const racers = Array.from({ length: 3 }, () =>
    promisify(execFile)(process.execPath, [
      ...['--input-type=module', '-e', script],
      ...[folder, start_at],
    ]),
  )
  const outputs = (await Promise.all(racers)).map(({ stdout }) => stdout.trim().split('\n'))
  for (let round = 0; round < RACES; round++) {
    const sealer = openSealer({ master_key_file: join(folder, 'home', `${round}.key`) })
    for (const sealed of outputs.map((lines) => lines[round] ?? ''))
      expect(sealer.open(sealed, 'a').reveal()).toBe('the secret')
  }
  expect(readdirSync(join(folder, 'home'))).toHaveLength(RACES)
})

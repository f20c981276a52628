import { createHash, createSecretKey, type KeyObject, randomBytes, scryptSync } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { platform } from 'node:os'
import { dirname } from 'node:path'
import { UserError } from '../errors.ts'
import type { Secret } from '../secret.ts'

export type MasterKey = {
  /** Says which key sealed a text without telling anything of the key. */
  readonly id: string
  readonly key: KeyObject
}

/**
 * Where master keys come from. A file holds one key a line, newest first, so that it can hold the old
 * and the new one while a rotation is under way. It is read anew each time: another process may have
 * rotated it since.
 */
export type MasterKeys = {
  /** `OUTLAY_MASTER_KEY` or the path of the file: for sentences. */
  readonly place: string
  list(): readonly MasterKey[]
  /** The newest one, made when there is none. */
  current(): MasterKey
  /** Makes a new key, the newest from now on. @throws UserError when the environment holds the key. */
  add(): MasterKey
  /** Drops the keys that are neither the newest nor named. */
  keep(ids: ReadonlySet<string>): void
}

const KEY_BYTES = 32
const TEXT_CHARS_MIN = 32
const IS_WINDOWS = platform() === 'win32'

/** The same passphrase must give the same key on every machine, so the salt is fixed. */
const PASSPHRASE_SALT = 'outlay/master-key/v1'

/**
 * The one key of `OUTLAY_MASTER_KEY`: 32 bytes as base64, base64url or hex; any other text of at least
 * 32 characters is a passphrase, stretched with scrypt.
 */
export function environmentKeys(secret: Secret, key_file: string): MasterKeys {
  const place = 'OUTLAY_MASTER_KEY'
  const text = secret.reveal().trim()
  refuseShort(text, place)
  const parse = masterKeyParser()
  return {
    place,
    list: () => [parse(text)],
    current: () => parse(text),
    add() {
      throw new UserError(
        `The master key comes from ${place}, which Outlay cannot change. To rotate it, write its value into ${key_file} (chmod 600), unset ${place} and rotate; then, if you like, set ${place} to the line that the file holds.`,
      )
    },
    keep() {},
  }
}

/** The keys of a file that only its owner can read. It is made when a first key is needed. */
export function fileKeys(path: string): MasterKeys {
  const parse = masterKeyParser()
  const lines = () => readLines(path)
  const first = () => lines()[0] ?? createFile(path)
  return {
    place: path,
    list: () => lines().map(parse),
    current: () => parse(first()),
    add() {
      const line = newLine()
      replaceFile(path, [line, ...lines()])
      return parse(line)
    },
    keep(ids) {
      const all = lines()
      const kept = all.filter((line, i) => i === 0 || ids.has(parse(line).id))
      if (kept.length < all.length) replaceFile(path, kept)
    },
  }
}

/** Remembers what it derived: a passphrase takes a while. */
function masterKeyParser(): (text: string) => MasterKey {
  const known = new Map<string, MasterKey>()
  return (text) => {
    const found = known.get(text) ?? masterKey(bytesOf(text))
    known.set(text, found)
    return found
  }
}

function masterKey(bytes: Buffer): MasterKey {
  const id = createHash('sha256').update('outlay/master-key-id').update(bytes).digest('hex')
  return { id: id.slice(0, 8), key: createSecretKey(bytes) }
}

function bytesOf(text: string): Buffer {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  // Node reads both base64 alphabets.
  if (/^[\w+/-]{43}=?$/.test(text)) return Buffer.from(text, 'base64')
  return scryptSync(text, PASSPHRASE_SALT, KEY_BYTES)
}

function refuseShort(text: string, place: string): void {
  if (text.length < TEXT_CHARS_MIN)
    throw new UserError(
      `${place} is too short for a master key: it needs 32 random bytes as base64 or hex, or any text of at least ${TEXT_CHARS_MIN} characters. This makes a good one: openssl rand -base64 32`,
    )
}

function newLine(): string {
  return randomBytes(KEY_BYTES).toString('base64url')
}

/** @returns no line when there is no file. */
function readLines(path: string): string[] {
  const text = readPrivate(path)
  if (text === undefined) return []
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
  if (lines.length === 0)
    throw new UserError(
      `The master key file ${path} is empty. Put its backup back; without one, delete the file and type the provider keys again: outlay connect`,
    )
  for (const line of lines) refuseShort(line, `The master key file ${path}`)
  return lines
}

function readPrivate(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw new UserError(
      `The master key file ${path} cannot be read (${codeOf(error)}). It must belong to the user who runs Outlay.`,
      { cause: error },
    )
  }
  try {
    if (!IS_WINDOWS && (fstatSync(file).mode & 0o077) !== 0)
      throw new UserError(
        `Others on this machine can read the master key file. Close it and try again: chmod 600 '${path}'`,
      )
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

/**
 * A file appears under its name only when it is complete, and only if there is none: of two processes
 * that start together one links first, and both read that one's key.
 */
function createFile(path: string): string {
  const temporary = writeTemporary(path, [newLine()])
  try {
    linkOnce(temporary, path)
    syncFolder(path)
  } finally {
    rmSync(temporary, { force: true })
  }
  const [line] = readLines(path)
  if (!line) throw new Error('the master key file vanished')
  return line
}

function linkOnce(temporary: string, path: string): void {
  try {
    linkSync(temporary, path)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EEXIST') return
    // Some file systems have no hard links.
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'].includes(code)) throw error
    copyOnce(temporary, path)
  }
}

function copyOnce(temporary: string, path: string): void {
  try {
    writeFileSync(path, readFileSync(temporary), { flag: 'wx', mode: 0o600, flush: true })
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
}

function replaceFile(path: string, lines: readonly string[]): void {
  const temporary = writeTemporary(path, lines)
  try {
    renameSync(temporary, path)
    syncFolder(path)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** On disk before it gets its name: a key that a power cut takes away takes all sealed keys along. */
function writeTemporary(path: string, lines: readonly string[]): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const text = `${lines.join('\n')}\n`
  writeFileSync(temporary, text, { flag: 'wx', mode: 0o600, flush: true })
  return temporary
}

function syncFolder(path: string): void {
  if (IS_WINDOWS) return
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } catch {
    // Not every file system can; the file itself is on disk.
  } finally {
    closeSync(folder)
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

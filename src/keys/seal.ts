import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { UserError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { environmentKeys, fileKeys, type MasterKey, type MasterKeys } from './master-key.ts'

/**
 * Seals provider keys with AES-256-GCM as `v1.<key id>.<iv>.<ciphertext and tag>`. The context, such as
 * a connection's id, is authenticated too: a sealed text opens only where it was made for.
 *
 * Whoever seals for the store does so inside its write transaction, so that a rotation in another
 * process either re-seals the row or has already made its key the newest.
 */
export type Sealer = {
  readonly keys: MasterKeys
  seal(secret: Secret, context: string): string
  /** @throws UserError that says which master key is needed and what to do. */
  open(sealed: string, context: string): Secret
}

const ALGORITHM = 'aes-256-gcm'
const VERSION = 'v1'
const IV_BYTES = 12
const TAG_BYTES = 16
const SEALED = /^v1\.([0-9a-f]{8})\.([\w-]{16})\.([\w-]{22,})$/

/** Reads and writes nothing before the first use; the key file is made when something is sealed. */
export function openSealer(options: {
  master_key?: Secret | undefined
  master_key_file: string
}): Sealer {
  const { master_key, master_key_file } = options
  const keys = master_key ? environmentKeys(master_key, master_key_file) : fileKeys(master_key_file)
  return {
    keys,
    seal: (secret, context) => encrypt(secret, context, keys.current()),
    open(sealed, context) {
      const { key_id, iv, text } = parseSealed(sealed)
      const known = keys.list()
      const found = known.find(({ id }) => id === key_id)
      if (!found) throw wrongKeyError(key_id, known, keys.place)
      return decrypt({ iv, text }, context, found)
    },
  }
}

/** Which master key a sealed text needs. */
export function sealedWith(sealed: string): string {
  return parseSealed(sealed).key_id
}

function encrypt(secret: Secret, context: string, { id, key }: MasterKey): string {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(additionalData(id, context))
  const text = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()])
  const tagged = Buffer.concat([text, cipher.getAuthTag()])
  return [VERSION, id, iv.toString('base64url'), tagged.toString('base64url')].join('.')
}

function decrypt(
  { iv, text }: { iv: Buffer; text: Buffer },
  context: string,
  { id, key }: MasterKey,
): Secret {
  const decipher = createDecipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(additionalData(id, context))
  decipher.setAuthTag(text.subarray(-TAG_BYTES))
  try {
    const plain = [decipher.update(text.subarray(0, -TAG_BYTES)), decipher.final()]
    return new Secret(Buffer.concat(plain).toString('utf8'))
  } catch (error) {
    throw damagedError(error)
  }
}

function additionalData(key_id: string, context: string): Buffer {
  return Buffer.from(`outlay/${VERSION}/${key_id}/${context}`)
}

function parseSealed(sealed: string): { key_id: string; iv: Buffer; text: Buffer } {
  const [, key_id, iv, text] = SEALED.exec(sealed) ?? []
  if (!key_id || !iv || !text) throw damagedError()
  return { key_id, iv: Buffer.from(iv, 'base64url'), text: Buffer.from(text, 'base64url') }
}

function damagedError(cause?: unknown): UserError {
  return new UserError(
    'The stored provider key cannot be opened: it was changed, or belongs to another connection. Type the key again: outlay connect',
    { cause },
  )
}

function wrongKeyError(needed: string, known: readonly MasterKey[], place: string): UserError {
  const held = known.map(({ id }) => `"${id}"`).join(' and ')
  return new UserError(
    `The stored provider key was sealed with master key "${needed}", but ${place} ${held ? `holds ${held}` : 'is not there'}. Put that master key back (OUTLAY_MASTER_KEY, or a backup of the file), or type the provider key again: outlay connect`,
  )
}

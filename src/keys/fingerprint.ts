import { sha256 } from '../ids.ts'
import type { Secret } from '../secret.ts'

/** Words that key formats begin with; whatever follows the last of them is random. */
const PREFIX =
  /^(?:(?:sk|pk|rk|ant|or|oat|api|admin|v|proj|svcacct|service|org|sess|mgmt|key|live|test)\d{0,2}[-_])+/i
const PREFIX_CHARS_MAX = 16
const SHOWN_CHARS = 4
const RANDOM_CHARS_MIN = 20

/**
 * What people recognise a key by: `sk-ant-admin01-…9QAA`. Shows the format's prefix and the last four
 * characters, and of a text too short for a key only the beginning of its hash.
 */
export function fingerprintOf(key: Secret): string {
  const text = key.reveal()
  const prefix = PREFIX.exec(text)?.[0] ?? ''
  if (text.length - prefix.length < RANDOM_CHARS_MIN) return `#${sha256(text).slice(0, 8)}`
  return `${prefix.slice(0, PREFIX_CHARS_MAX)}…${text.slice(-SHOWN_CHARS)}`
}

/** Tells two keys apart. A provider key is random enough for its hash to tell nothing else. */
export function keyHashOf(key: Secret): string {
  return sha256('provider key', key.reveal())
}

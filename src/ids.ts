import { hash, randomBytes, randomFillSync } from 'node:crypto'

/** A random id with a prefix that says what it names: `con_3f9k…`. 120 bits. */
export function newId(prefix: string): string {
  return `${prefix}_${randomText(15)}`
}

/**
 * As `newId`, with the instant in front: in an index of very many ids, new ones stand side by side
 * instead of each on another page.
 */
export function newOrderedId(prefix: string, at: number): string {
  return `${prefix}_${at.toString(36).padStart(9, '0')}${randomText(12)}`
}

const pool = Buffer.alloc(3_840)
let taken = pool.length

/** Asking the system for each few bytes would cost more than all else about an id. */
function randomText(bytes: number): string {
  if (taken + bytes > pool.length) {
    randomFillSync(pool)
    taken = 0
  }
  taken += bytes
  return pool.toString('base64url', taken - bytes, taken)
}

/** Secret text of at least 192 random bits, URL-safe. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url')
}

export function sha256(...parts: readonly string[]): string {
  return hash('sha256', parts.join('\u001f'), 'base64url')
}

/** A number in [0, 1) for jitter. Nothing that must be unpredictable may use it. */
export function jitter(): number {
  return Math.random()
}

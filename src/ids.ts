import { hash, randomBytes } from 'node:crypto'

/** A random id with a prefix that says what it names: `con_3f9k…`. 120 bits. */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(15).toString('base64url')}`
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

export type Fields = Readonly<Record<string, unknown>>

/** Counts beyond this are nobody's usage. */
const COUNT_MAX = 1e12

/** An object of JSON; undefined for anything else, broken JSON included. */
export function parseFields(text: string): Fields | undefined {
  try {
    return fieldsOf(JSON.parse(text))
  } catch {
    return undefined
  }
}

export function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : undefined
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

/** A count as number or decimal text; 0 for what is none. */
export function countOf(value: unknown): number {
  const number = typeof value === 'string' && /^\d{1,13}$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0
    ? Math.min(number, COUNT_MAX)
    : 0
}

/** ISO 8601 text or epoch milliseconds; undefined for what is no instant. */
export function instantOf(value: unknown): number | undefined {
  const at = typeof value === 'string' ? Date.parse(value) : value
  return typeof at === 'number' && Number.isSafeInteger(at) && at > 0 ? at : undefined
}

import type { JsonObject } from './wire.ts'

/** Whether usage has the counts that are needed, and all of them can be read: what cannot be is not nothing. */
export function isTold(
  usage: JsonObject,
  needed: readonly string[],
  others: readonly string[] = [],
): boolean {
  return (
    needed.every((name) => isCount(usage[name])) &&
    others.every((name) => (usage[name] ?? null) === null || isCount(usage[name]))
  )
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

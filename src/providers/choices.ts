import { largestCap, valueAt } from './wire.ts'

/** More answers than any provider generates for one request. */
const CHOICES_MAX = 128

/** How many answers are asked for: of several names the largest, and the most where one cannot be read. */
export function countChoices(value: unknown, paths: readonly (readonly string[])[]): number {
  const is_asked = paths.some((path) => (valueAt(value, ...path) ?? null) !== null)
  return Math.max(is_asked ? (largestCap(value, paths) ?? CHOICES_MAX) : 1, 1)
}

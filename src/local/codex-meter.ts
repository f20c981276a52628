import { countOf, fieldsOf } from './fields.ts'

/** Input, of it cached, of it written to the cache; output, of it reasoning. */
export type Totals = readonly [
  input: number,
  cached: number,
  written: number,
  output: number,
  reasoning: number,
]

/** What a rollout's running totals said so far. */
export type Meter = {
  /** The latest totals, as keys: a new total follows one of them. */
  seen: string[]
  /** The highest that each count has been. */
  high: Totals
  /** How many totals were the parent's history. */
  inherited: number
}

const NOTHING: Totals = [0, 0, 0, 0, 0]
/** Sessions that share one file take turns: more than this many totals apart none of them goes on. */
const SEEN_MAX = 128

export function newMeter(): Meter {
  return { seen: [], high: NOTHING, inherited: 0 }
}

export function totalsOf(value: unknown): Totals | undefined {
  const usage = fieldsOf(value)
  if (!usage) return undefined
  return [
    countOf(usage['input_tokens']),
    countOf(usage['cached_input_tokens']),
    countOf(usage['cache_write_input_tokens']),
    countOf(usage['output_tokens']),
    countOf(usage['reasoning_output_tokens']),
  ]
}

export function keyOf(totals: Totals): string {
  return totals.join(' ')
}

export function addTotals(a: Totals, b: Totals): Totals {
  return combine(a, b, (x, y) => x + y)
}

export function isNothing(totals: Totals): boolean {
  return totals.every((count) => count === 0)
}

type Told = { readonly total: Totals | undefined; readonly last: Totals | undefined }

/**
 * The tokens that one `token_count` adds; undefined when it adds none. Totals are told again whenever
 * the screen is refreshed, and several sessions can take turns in one file: a total counts once, and
 * by its own last request only where it follows a total that was seen, or starts anew. Anything else
 * counts by how far it is above all that was seen, which can be too little and is never too much.
 */
export function countTokens(
  meter: Meter,
  { total, last }: Told,
  isInherited: (key: string) => boolean,
): Totals | undefined {
  if (!total) return remember(meter, addTotals(meter.high, last ?? NOTHING), last)
  const key = keyOf(total)
  if (meter.seen.includes(key)) return undefined
  if (isInherited(key)) {
    meter.inherited += 1
    return remember(meter, total, undefined)
  }
  const above = combine(total, meter.high, (now, before) => Math.max(0, now - before))
  if (!last) return remember(meter, total, above)
  const before = combine(total, last, (now, added) => now - added)
  const follows = meter.seen.includes(keyOf(before))
  const is_first = meter.seen.length === 0
  const starts_anew = isNothing(before) && total.some((count, i) => count < (meter.high[i] ?? 0))
  return remember(meter, total, follows || is_first || starts_anew ? last : above)
}

function remember(meter: Meter, total: Totals, spent: Totals | undefined): Totals | undefined {
  meter.seen = [...meter.seen.slice(1 - SEEN_MAX), keyOf(total)]
  meter.high = combine(meter.high, total, Math.max)
  return spent
}

function combine(a: Totals, b: Totals, each: (x: number, y: number) => number): Totals {
  const [input, cached, written, output, reasoning] = a
  return [
    each(input, b[0]),
    each(cached, b[1]),
    each(written, b[2]),
    each(output, b[3]),
    each(reasoning, b[4]),
  ]
}

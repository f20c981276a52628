import * as z from 'zod'
import type { Nanos } from '../money.ts'
import { contractError } from './pages.ts'
import type { ReportRows, Variant } from './provider.ts'

/** Raw texts are kept for so many rows of one read; a provider that adds a field to all must not double the store. */
const RAW_ROWS_MAX = 500

export type Rows = ReportRows & {
  usage: ReportRows['usage']
  unfamiliar: number
  refreshed_at: string | null
}

export function emptyRows(): Rows {
  return { usage: [], cost: [], assistant: [], malformed: [], unfamiliar: 0, refreshed_at: null }
}

/** The last resort of a report that not every organisation has: without it there are no rows of it. */
export const absent: Variant = { grouping: 'absent', read: async () => emptyRows() }

/**
 * Finds out whether a page says what an earlier page of the same read has said. Providers page by
 * offset, so that a row may slide onto the next page while it is read; a page of nothing else is a page
 * sent twice. Within one page the same coordinates are parts of one sum.
 */
export function createRepeats(provider: string) {
  const pages = new Map<string, number>()
  let page = 0
  /** Gives the items of one page that no earlier page had. */
  return function listNew<Item>(items: readonly Item[], idOf: (item: Item) => string): Item[] {
    page += 1
    const fresh = items.filter((item) => {
      const id = idOf(item)
      const seen_on = pages.get(id)
      if (seen_on === undefined) pages.set(id, page)
      return seen_on === undefined || seen_on === page
    })
    if (items.length > 0 && fresh.length === 0)
      throw contractError(provider, 'sent the same page twice')
    return fresh
  }
}

export type Repeats = ReturnType<typeof createRepeats>

/** More than any row can be: the store's sums of such rows must stay within 64 bits. */
const COUNT_MAX = 1e12

/** A token or request count: a whole number. */
export const Count = z.number().int().min(0).max(COUNT_MAX)
/** Stored bytes are many more than tokens. */
export const ByteCount = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
export const OptionalCount = Count.nullish().transform((value) => value ?? 0)
export const Text = z.string().max(2_000)
export const OptionalText = Text.nullish().transform((value) => value ?? null)

/**
 * Reads one row. One that does not fit is written down as malformed, in words that name the field and
 * never its value, and the others go on.
 */
export function readRow<Schema extends z.ZodType>(
  rows: Rows,
  schema: Schema,
  raw: unknown,
  bucket_start: number | null,
): z.output<Schema> | undefined {
  const result = compiled(schema).safeParse(raw)
  if (result.success) return result.data
  const [issue] = result.error.issues
  rows.malformed.push({
    bucket_start,
    reason: `${issue?.path.join('.') || 'row'}: ${issue?.code ?? 'invalid'}`,
  })
  return undefined
}

const COMPILED = new WeakMap<z.ZodType, z.ZodType>()

/** Code for the schema, made at its first row: hundreds of thousands may follow. https://zod.dev/compile */
function compiled<Schema extends z.ZodType>(schema: Schema): Schema {
  const known = COMPILED.get(schema) as Schema | undefined
  if (known) return known
  const made = z.compile(schema)
  COMPILED.set(schema, made)
  return made
}

/** A hundred million dollars in one row: more than any row can be, and sums of it stay within 64 bits. */
const NANOS_MAX = 10n ** 17n

export const Amount = z.union([z.string().max(400), z.number()])
/** An ISO code, in whatever case. */
export const Currency = z
  .string()
  .max(20)
  .transform((code) => code.trim().toLowerCase())

/** An amount to its last digit; one that is no number is written down as malformed. */
export function readAmount(
  rows: Rows,
  bucket_start: number | null,
  amount: string | number,
  nanosFrom: (amount: string | number) => Nanos,
): Nanos | undefined {
  try {
    const nanos = nanosFrom(amount)
    if (nanos <= NANOS_MAX && nanos >= -NANOS_MAX) return nanos
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  rows.malformed.push({ bucket_start, reason: 'amount: not a decimal number' })
  return undefined
}

/** The row's own text when something in it is new to us; it counts all the same. */
export function rawOfUnfamiliar(
  rows: Rows,
  raw: unknown,
  is_unfamiliar: boolean,
): { raw_json: string } | undefined {
  if (!is_unfamiliar) return undefined
  rows.unfamiliar += 1
  return rows.unfamiliar <= RAW_ROWS_MAX
    ? { raw_json: JSON.stringify(raw).slice(0, 4_096) }
    : undefined
}

/** Whether an object has fields that are not on the list. */
export function hasOtherFields(raw: unknown, known: ReadonlySet<string>): boolean {
  if (typeof raw !== 'object' || raw === null) return false
  for (const name in raw) if (!known.has(name)) return true
  return false
}

export function fieldsOf(schema: z.ZodObject): ReadonlySet<string> {
  return new Set(Object.keys(schema.shape))
}

/** An RFC 3339 instant as epoch milliseconds; NaN never comes out. */
export const Instant = z
  .string()
  .transform((text) => Date.parse(text))
  .refine((at) => Number.isFinite(at), 'not an instant')

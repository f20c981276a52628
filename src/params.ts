import * as z from 'zod'
import { closest } from './closest.ts'
import { PERIODS } from './period.ts'

/** An enum whose error names the allowed values and the closest one. */
export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, {
    error: ({ input }) => {
      const near = typeof input === 'string' ? closest(input, values) : undefined
      return `must be one of ${values.join(', ')}${near ? ` (closest: ${near})` : ''}`
    },
  })
}

export const PeriodParam = oneOf(PERIODS)
  .optional()
  .describe('Default last_30d; day periods include today.')
export const FromParam = z.string().optional().describe('Date or instant, instead of period.')
export const ToParam = z.string().optional().describe('Excluded end of from; default now.')
export const LimitParam = z.number().int().min(1).max(100).default(20)

/** The description keeps "text or null" from becoming a list of types, which some clients do not know. */
export const Maybe = z.string().describe('or null').nullable()
/**
 * A row says what its values can be, and the tool's text and the README what they mean: schemas of every
 * field would cost more than they say.
 */
export const Facts = z.object({}).catchall(z.union([Maybe, z.number()]))
/** A map of texts. */
export const Texts = z.object({}).catchall(z.string())
export const Counts = z.object({}).catchall(z.number())

/** Money on the wire: a decimal text in dollars with nine places. */
export const Usd = z.string()

import * as z from 'zod'
import { UserError } from '../errors.ts'
import { parseDecimal } from '../money.ts'
import type { PriceClass, PriceRule, TieredPrice } from './catalog.ts'

/** Places of a dollar per million tokens that are whole pico-dollars per token. */
const MTOK_PLACES = 6
/** Places of a dollar per unit that are whole pico-dollars. */
const UNIT_PLACES = 12
/** A price above this is a slip of the decimal point, and would leave the exact range of JSON numbers. */
const USD_MAX = 1_000_000

/** The short names that prices are written and shown with. */
export const PRICE_NAMES = {
  input: 'uncached_input_tokens',
  cache_read: 'cache_read_tokens',
  cache_write_5m: 'cache_write_5m_tokens',
  cache_write_1h: 'cache_write_1h_tokens',
  input_audio: 'input_audio_tokens',
  input_image: 'input_image_tokens',
  output: 'output_tokens',
  output_audio: 'output_audio_tokens',
  output_image: 'output_image_tokens',
  reasoning: 'reasoning_tokens',
} as const satisfies Record<string, PriceClass>

type PriceName = keyof typeof PRICE_NAMES

const UsdPerMtok = z.partialRecord(
  z.enum(Object.keys(PRICE_NAMES) as [PriceName, ...PriceName[]]),
  usd(MTOK_PLACES),
)

/** What stands in the user's `prices.json`: a list of these, numbers or decimal texts in USD. */
export const PriceOverrides = z.array(
  z.strictObject({
    provider: z.string().min(1).max(100),
    model: z.string().min(1).max(200),
    service_tier: z.enum(['standard', 'batch', 'flex', 'priority', 'fast']).default('standard'),
    /** A UTC day, or an instant. */
    valid_from: z.union([z.iso.date(), z.iso.datetime({ offset: true })]).optional(),
    usd_per_mtok: UsdPerMtok.default({}),
    usd_per_unit: z
      .partialRecord(
        z.enum(['web_search', 'file_search', 'image', 'character', 'second', 'byte', 'session']),
        usd(UNIT_PLACES),
      )
      .default({}),
    long_context: z
      .strictObject({
        above_tokens: z.number().int().min(1),
        mode: z.enum(['whole_prompt', 'marginal']).default('whole_prompt'),
        usd_per_mtok: UsdPerMtok,
      })
      .optional(),
  }),
)
export type PriceOverride = z.output<typeof PriceOverrides>[number]

/** @throws UserError that names the entry and the field. */
export function parseOverrides(json: unknown): PriceOverride[] {
  const result = PriceOverrides.safeParse(json)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new UserError(`${issue?.path.join('.') || 'prices'}: ${issue?.message ?? 'not valid'}`)
}

export function overrideRule(provider: string, model: string, override: PriceOverride): PriceRule {
  const { service_tier, valid_from, long_context } = override
  const tier = service_tier === 'standard' ? '' : `#${service_tier}`
  const prices: Partial<Record<PriceClass, TieredPrice>> = {}
  for (const [name, usd_per_mtok] of Object.entries(override.usd_per_mtok)) {
    const long = long_context?.usd_per_mtok[name as PriceName]
    prices[PRICE_NAMES[name as PriceName]] = {
      base: parseDecimal(String(usd_per_mtok), MTOK_PLACES),
      tiers:
        long_context && long !== undefined
          ? [{ start: long_context.above_tokens, price: parseDecimal(String(long), MTOK_PLACES) }]
          : [],
    }
  }
  return {
    id: `own/${provider}/${override.model}@${valid_from ?? 'start'}${tier}`,
    provider,
    model,
    // OpenAI has two words for one tier: https://developers.openai.com/api/docs/guides/fast-mode
    service_tier: provider === 'openai' && service_tier === 'fast' ? 'priority' : service_tier,
    inference_geo: '*',
    valid_from: valid_from ? Date.parse(valid_from) : Number.NEGATIVE_INFINITY,
    valid_to: Number.POSITIVE_INFINITY,
    daily: null,
    prices,
    units: Object.fromEntries(
      Object.entries(override.usd_per_unit).map(([unit, amount]) => [
        unit,
        { picos: parseDecimal(String(amount), UNIT_PLACES), per: 1n },
      ]),
    ),
    tier_mode: long_context?.mode ?? 'whole_prompt',
    prompt_tokens_max: Number.POSITIVE_INFINITY,
    unpriced_reason: null,
    source: 'prices.json',
  }
}

function usd(places: number) {
  return z.union([z.number(), z.string()]).superRefine((value, context) => {
    const problem = usdProblem(String(value), places)
    if (problem) context.addIssue({ code: 'custom', message: problem })
  })
}

function usdProblem(text: string, places: number): string | undefined {
  let exact: bigint
  try {
    exact = parseDecimal(text, places + 20)
  } catch {
    return 'must be an amount in USD, like 1.25'
  }
  if (exact < 0n) return 'must not be negative'
  if (exact > parseDecimal(String(USD_MAX), places + 20)) return `must be at most ${USD_MAX}`
  if (exact % 10n ** 20n !== 0n) return `must have at most ${places} decimal places`
  return undefined
}

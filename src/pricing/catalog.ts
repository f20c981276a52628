import { readFileSync } from 'node:fs'
import * as z from 'zod'
import { UserError } from '../errors.ts'
import { parseDecimal } from '../money.ts'
import { TOKEN_CLASSES, type TokenClass, type Unit } from '../usage.ts'
import { modelKey } from './match.ts'
import { type TierRule, tierRules } from './tiers.ts'

/** What one token or unit costs: femto-dollars (10⁻¹⁵ USD), exact. */
export type Femtos = bigint

/** A price and, above so many prompt tokens, other ones: `start` is the last count at the price before. */
export type TieredPrice = {
  readonly base: Femtos
  readonly tiers: readonly { readonly start: number; readonly price: Femtos }[]
}

export type PriceRule = {
  /** Names the rule in every entry that it priced. */
  readonly id: string
  readonly provider: string
  readonly model: string
  readonly service_tier: string
  /** Half-open; epoch milliseconds. */
  readonly valid_from: number
  readonly valid_to: number
  /** Minutes of the UTC day, half-open, may wrap; null: all day. */
  readonly daily: readonly [start: number, end: number] | null
  readonly prices: ReadonlyMap<TokenClass, TieredPrice>
  readonly units: ReadonlyMap<Unit | 'request', Femtos>
  /** `whole_prompt`: the prompt's size picks one price for all its tokens; `marginal`: each part its own. */
  readonly tier_mode: 'whole_prompt' | 'marginal'
  readonly source: string
}

export type CatalogModel = {
  readonly provider: string
  readonly model: string
  /** In order of validity; a later rule that is valid wins. */
  readonly rules: readonly PriceRule[]
}

export type Catalog = {
  /** By `provider` and lower-case name. */
  readonly names: ReadonlyMap<string, CatalogModel>
  readonly tiers: readonly TierRule[]
  readonly source: string
  /** Look-ups that were made before; they never change within a catalog. */
  readonly found: Map<string, CatalogModel | undefined>
  readonly derived: Map<string, PriceRule | undefined>
}

/** The shape of `catalog.json`: texts are femto-dollars, a pair is a tier. */
export type CatalogData = {
  source: string
  models: { provider: string; model: string; names: string[]; rules: RuleData[] }[]
}
export type ClassPrice = [base: string, ...tiers: [start: number, price: string][]]
export type RuleData = {
  prices: Record<string, ClassPrice>
  units: Record<string, string>
  from?: string
  daily?: [start: string, end: string]
}

/** Reads the bundled prices and puts the user's own before them. */
export function loadCatalog(overrides: readonly PriceOverride[] = []): Catalog {
  const file = new URL('catalog.json', import.meta.url)
  const data = JSON.parse(readFileSync(file, 'utf8')) as CatalogData
  const names = new Map<string, CatalogModel>()
  for (const line of data.models) {
    const model = readModel(line, data.source)
    for (const name of line.names) {
      const key = modelKey(line.provider, name)
      if (!names.has(key)) names.set(key, model)
    }
  }
  for (const override of overrides) addOverride(names, override)
  return { names, tiers: tierRules, source: data.source, found: new Map(), derived: new Map() }
}

function readModel(
  { provider, model, rules }: CatalogData['models'][number],
  source: string,
): CatalogModel {
  const starts = rules.map(({ from }) => (from ? Date.parse(from) : Number.NEGATIVE_INFINITY))
  return {
    provider,
    model,
    rules: rules.map((rule, i) => ({
      id: `${provider}/${model}@${rule.from ?? 'start'}${rule.daily ? `/${rule.daily[0]}` : ''}`,
      provider,
      model,
      service_tier: 'standard',
      valid_from: starts[i] ?? Number.NEGATIVE_INFINITY,
      valid_to: Number.POSITIVE_INFINITY,
      daily: rule.daily ? [minuteOf(rule.daily[0]), minuteOf(rule.daily[1])] : null,
      prices: new Map(
        Object.entries(rule.prices).map(([name, [base, ...tiers]]) => [
          name as TokenClass,
          {
            base: BigInt(base),
            tiers: tiers.map(([start, price]) => ({ start, price: BigInt(price) })),
          },
        ]),
      ),
      units: new Map(
        Object.entries(rule.units).map(([unit, price]) => [unit as Unit, BigInt(price)]),
      ),
      tier_mode: 'whole_prompt',
      source,
    })),
  }
}

function minuteOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map((part) => Number.parseInt(part, 10))
  return hours * 60 + minutes
}

const Price = z.union([
  z.number().min(0),
  z.string().regex(/^\d+(\.\d+)?$/, 'not a decimal number'),
])

/** What stands in the user's `prices.json`: a list of these. */
export const PriceOverrides = z.array(
  z.strictObject({
    provider: z.string().min(1),
    model: z.string().min(1),
    service_tier: z.enum(['standard', 'batch', 'flex', 'priority', 'fast']).default('standard'),
    valid_from: z.iso.date().optional(),
    usd_per_mtok: z.partialRecord(z.enum(TOKEN_CLASSES), Price),
    usd_per_unit: z
      .partialRecord(
        z.enum(['web_search', 'file_search', 'image', 'character', 'second', 'byte', 'session']),
        Price,
      )
      .default({}),
    long_context: z
      .strictObject({
        above_tokens: z.number().int().min(1),
        mode: z.enum(['whole_prompt', 'marginal']).default('whole_prompt'),
        usd_per_mtok: z.partialRecord(z.enum(TOKEN_CLASSES), Price),
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

function addOverride(names: Map<string, CatalogModel>, override: PriceOverride): void {
  const { provider, model, service_tier, valid_from, long_context } = override
  const key = modelKey(provider, model.toLowerCase())
  const known = names.get(key)
  const prices = new Map<TokenClass, TieredPrice>()
  for (const [name, usd] of Object.entries(override.usd_per_mtok)) {
    const long = long_context?.usd_per_mtok[name as TokenClass]
    prices.set(name as TokenClass, {
      base: femtosPerToken(usd),
      tiers:
        long_context && long !== undefined
          ? [{ start: long_context.above_tokens, price: femtosPerToken(long) }]
          : [],
    })
  }
  const rule: PriceRule = {
    id: `own/${provider}/${model}@${valid_from ?? 'start'}#${service_tier}`,
    provider,
    model,
    service_tier,
    valid_from: valid_from ? Date.parse(valid_from) : Number.NEGATIVE_INFINITY,
    valid_to: Number.POSITIVE_INFINITY,
    daily: null,
    prices,
    units: new Map(
      Object.entries(override.usd_per_unit).map(([unit, usd]) => [
        unit as Unit,
        parseDecimal(String(usd), 15),
      ]),
    ),
    tier_mode: long_context?.mode ?? 'whole_prompt',
    source: 'prices.json',
  }
  names.set(key, { provider, model, rules: [...(known?.rules ?? []), rule] })
}

function femtosPerToken(usd_per_mtok: string | number): Femtos {
  return parseDecimal(String(usd_per_mtok), 9)
}

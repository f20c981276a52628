import { divideHalfEven, type Nanos } from '../money.ts'
import { TOKEN_CLASSES, type Usage } from '../usage.ts'
import type { Catalog, CatalogModel, PriceRule, TieredPrice } from './catalog.ts'
import { findModel, providerId } from './match.ts'
import { GEO_FACTORS } from './tiers.ts'

export type PriceQuery = {
  readonly provider: string
  readonly model: string
  /** The instant of the request: prices are dated. */
  readonly at: number
  /** null and `standard` are the list price. */
  readonly service_tier: string | null
  readonly speed: 'fast' | null
  readonly inference_geo?: string | null
  /** The provider's own word on the prompt's size, where usage is aggregated. */
  readonly context_window?: '0-200k' | '200k-1M' | null
  /** Whether the usage is of one request, so that its prompt's size can pick the tier. */
  readonly is_single_request: boolean
  readonly usage: Usage
}

export type Priced =
  | { readonly cost_nanos: Nanos; readonly rule_id: string }
  | { readonly cost_nanos: null; readonly rule_id: null; readonly reason: string }

const FEMTOS_PER_NANO = 1_000_000n
const MINUTE_MS = 60_000
const MINUTES_PER_DAY = 1_440

/** What the usage costs at list price, rounded once; or why that is not known. Unknown is never zero. */
export function priceUsage(catalog: Catalog, query: PriceQuery): Priced {
  const model = findModel(catalog, query.provider, query.model)
  if (!model)
    return unpriced(`no price is known for ${query.provider} ${query.model || '(no model)'}`)
  const tier = query.speed === 'fast' ? 'fast' : (query.service_tier ?? 'standard')
  const rule = findRule(catalog, model, query.at, tier)
  if (!rule) return unpriced(`no ${tier} price is known for ${model.model} at that time`)
  return applyRule(rule, query)
}

function unpriced(reason: string): Priced {
  return { cost_nanos: null, rule_id: null, reason }
}

/** The rule in force: a published one of the tier, or one that follows from the standard price. */
export function findRule(
  catalog: Catalog,
  model: CatalogModel,
  at: number,
  tier: string,
): PriceRule | undefined {
  const valid = (wanted: string) =>
    model.rules.findLast((rule) => rule.service_tier === wanted && isValid(rule, at))
  const own = valid(tier)
  if (own || tier === 'standard') return own
  const standard = valid('standard')
  return standard && derive(catalog, standard, tier)
}

function isValid({ valid_from, valid_to, daily }: PriceRule, at: number): boolean {
  if (at < valid_from || at >= valid_to) return false
  if (!daily) return true
  const minute = Math.floor(at / MINUTE_MS) % MINUTES_PER_DAY
  const [start, end] = daily
  return start < end ? minute >= start && minute < end : minute >= start || minute < end
}

function derive(catalog: Catalog, standard: PriceRule, tier: string): PriceRule | undefined {
  const id = `${standard.id}#${tier}`
  if (catalog.derived.has(id)) return catalog.derived.get(id)
  const published = catalog.tiers.find(
    ({ provider, service_tier, models }) =>
      provider === standard.provider && service_tier === tier && models.test(standard.model),
  )
  const rule = published && {
    ...standard,
    id,
    service_tier: tier,
    source: published.source,
    prices: new Map(
      [...standard.prices].map(([name, price]) => [name, scale(price, published.factor)]),
    ),
  }
  catalog.derived.set(id, rule)
  return rule
}

function scale(
  price: TieredPrice,
  [numerator, denominator]: readonly [bigint, bigint],
): TieredPrice {
  const times = (femtos: bigint) => divideHalfEven(femtos * numerator, denominator)
  return {
    base: times(price.base),
    tiers: price.tiers.map(({ start, price: tier }) => ({ start, price: times(tier) })),
  }
}

function applyRule(rule: PriceRule, query: PriceQuery): Priced {
  const { usage } = query
  const prompt_tokens = promptTokens(query)
  let femtos = 0n
  for (const name of TOKEN_CLASSES) {
    const tokens = usage[name]
    if (tokens === 0) continue
    const price = rule.prices.get(name)
    if (!price) return unpriced(`${rule.model} has no price for ${name}`)
    femtos += classCost(price, tokens, prompt_tokens, rule.tier_mode)
  }
  // The place of inference changes token prices only; the fraction is divided out with the last rounding.
  const [numerator, denominator] = GEO_FACTORS[
    `${providerId(query.provider)} ${query.inference_geo}`
  ] ?? [1n, 1n]
  let unit_femtos = 0n
  if (usage.unit !== null && usage.units > 0) {
    const price = rule.units.get(usage.unit)
    if (price === undefined) return unpriced(`${rule.model} has no price for a ${usage.unit}`)
    unit_femtos += price * BigInt(usage.units)
  }
  unit_femtos += (rule.units.get('request') ?? 0n) * BigInt(usage.requests ?? 0)
  const total = femtos * numerator + unit_femtos * denominator
  return { cost_nanos: divideHalfEven(total, FEMTOS_PER_NANO * denominator), rule_id: rule.id }
}

/** How long the prompt was; of aggregated usage only what the provider says of it. */
function promptTokens({ usage, is_single_request, context_window }: PriceQuery): number {
  if (!is_single_request) return context_window === '200k-1M' ? Number.MAX_SAFE_INTEGER : 0
  return (
    usage.uncached_input_tokens +
    usage.cache_read_tokens +
    usage.cache_write_5m_tokens +
    usage.cache_write_1h_tokens +
    usage.input_audio_tokens +
    usage.input_image_tokens
  )
}

function classCost(
  { base, tiers }: TieredPrice,
  tokens: number,
  prompt_tokens: number,
  mode: PriceRule['tier_mode'],
): bigint {
  if (mode === 'whole_prompt') {
    const tier = tiers.findLast(({ start }) => prompt_tokens > start)
    return (tier?.price ?? base) * BigInt(tokens)
  }
  let cost = 0n
  let rest = tokens
  for (const { start, price } of tiers.toReversed()) {
    const above = Math.max(0, rest - start)
    cost += price * BigInt(above)
    rest -= above
  }
  return cost + base * BigInt(rest)
}

import { parseDecimal } from '../src/money.ts'
import type { ModelData, PriceClass, PriceData, RuleData } from '../src/pricing/catalog.ts'
import { PRICE_NAMES } from '../src/pricing/override.ts'
import type { Unit } from '../src/usage.ts'

/**
 * `pricing-supplement.json`: published prices that the package lacks, kept by hand. Used when the catalog is made,
 * not when prices are looked up: each combination becomes a rule of its own in `catalog.json`.
 */
export type Supplement = {
  multipliers: (Scaling & { service_tier: string })[]
  prices: {
    provider: string
    service_tier: string
    source: string
    models: Record<string, Record<string, string | number>>
  }[]
  inference_geos: (Scaling & { inference_geo: string })[]
  same_price: {
    provider: string
    models: string
    class: PriceClass
    as: PriceClass
    source: string
  }[]
  tools: {
    provider: string
    units: Partial<Record<Unit, { usd: string; per: number }>>
    source: string
  }[]
  /** Fees of a provider's tools that depend on the model; they are the same in every tier. */
  fees: {
    provider: string
    models: string
    units: Partial<Record<Unit, { usd: string; per: number }>>
    source: string
  }[]
  unpriced: {
    provider: string
    models: string[]
    valid_from: string
    reason: string
    source: string
  }[]
}
type Scaling = {
  provider: string
  models: string[]
  factor: string
  without?: PriceClass[]
  at_list_price?: PriceClass[]
  prompt_tokens_max?: number
  valid_from?: string
  valid_to?: string
  source: string
}

/** The rules of a model with its tiers and places added to the list prices of the package. */
export function supplementRules(
  provider: string,
  model: string,
  listed: RuleData[],
  supplement: Supplement,
): Pick<ModelData, 'ignores_geo' | 'rules'> {
  const standard = cutAtUnpriced(provider, model, listed, supplement).map((rule) =>
    addSamePrices(provider, model, rule, supplement),
  )
  const tiers = tierRules(provider, model, standard, supplement)
  const geos = supplement.inference_geos.filter((geo) => geo.provider === provider)
  const placed = geos.flatMap((geo) =>
    scaleRules(geo, model, [...standard, ...tiers], { geo: geo.inference_geo }),
  )
  const ignores_geo = geos.length > 0 && placed.length === 0
  const rules = [...standard, ...tiers, ...placed].map((rule) =>
    addFees(provider, model, rule, supplement),
  )
  return { ...(ignores_geo ? { ignores_geo } : {}), rules }
}

/** Prices of a provider's tools, whatever the model. */
export function toolData({ provider, units, source }: Supplement['tools'][number]): ModelData {
  return { provider, model: '', names: [''], rules: [{ units: unitPrices(units), source }] }
}

function unitPrices(units: Supplement['tools'][number]['units']): NonNullable<RuleData['units']> {
  const entries = Object.entries(units).map(([unit, { usd, per }]) => [unit, [exact(usd, 12), per]])
  return Object.fromEntries(entries)
}

function addFees(provider: string, model: string, rule: RuleData, { fees }: Supplement): RuleData {
  if (!rule.prices) return rule
  const own = fees.filter((fee) => fee.provider === provider && new RegExp(fee.models).test(model))
  if (own.length === 0) return rule
  return {
    ...rule,
    units: Object.assign({}, rule.units, ...own.map(({ units }) => unitPrices(units))),
  }
}

/** @throws when the decimal is finer than the integer. */
export function exact(value: number | string, places: number): number {
  const fine = parseDecimal(String(value), places + 20)
  if (fine < 0n || fine % 10n ** 20n !== 0n) throw new Error(`not exact: ${value}`)
  const integer = Number(fine / 10n ** 20n)
  if (!Number.isSafeInteger(integer)) throw new Error(`not exact: ${value}`)
  return integer
}

function cutAtUnpriced(
  provider: string,
  model: string,
  rules: RuleData[],
  { unpriced }: Supplement,
): RuleData[] {
  const cut = unpriced.find((one) => one.provider === provider && one.models.includes(model))
  if (!cut) return rules
  const { valid_from, reason, source } = cut
  // Hourly windows of a later price list belong to what is cut off.
  const has_later = rules.some(({ from }) => from !== undefined)
  const kept = rules
    .filter(({ from, daily }) => !from && !(daily && has_later))
    .map((rule) => ({ ...rule, to: valid_from }))
  return [...kept, { from: valid_from, unpriced: reason, source }]
}

function addSamePrices(
  provider: string,
  model: string,
  rule: RuleData,
  { same_price }: Supplement,
): RuleData {
  const prices = { ...rule.prices }
  for (const same of same_price) {
    const price = prices[same.as]
    const applies = same.provider === provider && new RegExp(same.models).test(model)
    if (applies && price !== undefined) prices[same.class] ??= price
  }
  return rule.prices ? { ...rule, prices } : rule
}

function tierRules(
  provider: string,
  model: string,
  standard: readonly RuleData[],
  { multipliers, prices }: Supplement,
): RuleData[] {
  const scaled = multipliers
    .filter((one) => one.provider === provider)
    .flatMap((one) => scaleRules(one, model, standard, { tier: one.service_tier }))
  const listed = prices
    .filter((one) => one.provider === provider)
    .flatMap(({ models, service_tier: tier, source }) => {
      const own = models[model]
      return own ? [listedRule(own, tier, source, standard.at(-1)?.units)] : []
    })
  return [...scaled, ...listed]
}

function listedRule(
  { prompt_tokens_max, valid_from, ...own }: Record<string, string | number>,
  tier: string,
  source: string,
  units: RuleData['units'],
): RuleData {
  const names: Readonly<Record<string, PriceClass>> = PRICE_NAMES
  const prices = Object.fromEntries(
    Object.entries(own).map(([name, usd]) => [names[name], exact(usd, 6)]),
  )
  return {
    tier,
    ...(valid_from ? { from: String(valid_from) } : {}),
    ...(prompt_tokens_max ? { max: Number(prompt_tokens_max) } : {}),
    prices,
    ...(units ? { units } : {}),
    source,
  }
}

function scaleRules(
  scaling: Scaling,
  model: string,
  rules: readonly RuleData[],
  mode: Pick<RuleData, 'tier' | 'geo'>,
): RuleData[] {
  const { valid_from, valid_to, prompt_tokens_max: max, source } = scaling
  if (!scaling.models.includes(model)) return []
  return rules.flatMap((rule) => {
    if (!rule.prices || (valid_from && rule.to && rule.to <= valid_from)) return []
    const from = valid_from && (rule.from ?? '') < valid_from ? valid_from : rule.from
    const to = valid_to && (rule.to ?? '9') > valid_to ? valid_to : rule.to
    const prices = Object.entries(rule.prices).flatMap(([name, price]) =>
      scaling.without?.includes(name as PriceClass)
        ? []
        : [[name, scalePrice(scaling, name as PriceClass, price)]],
    )
    return [
      {
        ...rule,
        ...mode,
        ...(from ? { from } : {}),
        ...(to ? { to } : {}),
        ...(max ? { max } : {}),
        prices: Object.fromEntries(prices),
        source,
      },
    ]
  })
}

function scalePrice({ factor, at_list_price }: Scaling, name: PriceClass, price: PriceData) {
  if (at_list_price?.includes(name)) return price
  const times = (picos: number) => {
    const scaled = BigInt(picos) * parseDecimal(factor, 3)
    if (scaled % 1_000n !== 0n) throw new Error(`not exact: ${picos} times ${factor}`)
    return Number(scaled / 1_000n)
  }
  if (typeof price === 'number') return times(price)
  const [base, ...tiers] = price
  return [times(base), ...tiers.map(([start, above]) => [start, times(above)])]
}

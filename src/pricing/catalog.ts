import { readFileSync } from 'node:fs'
import type { TokenClass, Unit } from '../usage.ts'
import { overrideRule, type PriceOverride } from './override.ts'
import { findLine, modelKey, providerId } from './spelling.ts'

export { type PriceOverride, parseOverrides } from './override.ts'

/** What one token costs: pico-dollars (10⁻¹² USD), exact. A dollar per million tokens is 1,000,000. */
export type Picos = bigint

/** Reasoning has a price of its own in few models; elsewhere it costs what output costs. */
export type PriceClass = TokenClass | 'reasoning_tokens'

/** `start` is the last count at the price before: a tier applies when there are more tokens than that. */
export type TieredPrice = {
  readonly base: Picos
  readonly tiers: readonly { readonly start: number; readonly price: Picos }[]
}

/** `picos` for `per` units: prices per thousand or per hour stay exact. */
export type UnitPrice = { readonly picos: Picos; readonly per: bigint }

export type PriceRule = {
  /** Names the rule in every entry that it priced. */
  readonly id: string
  readonly provider: string
  readonly model: string
  readonly service_tier: string
  /** Where inference must stay for this price: null for no such wish, `*` for whatever wish. */
  readonly inference_geo: string | null
  /** Half-open; epoch milliseconds. */
  readonly valid_from: number
  readonly valid_to: number
  /** Minutes of the UTC day, half-open, may wrap; null: all day. */
  readonly daily: readonly [start: number, end: number] | null
  readonly prices: Readonly<Partial<Record<PriceClass, TieredPrice>>>
  readonly units: Readonly<Partial<Record<Unit, UnitPrice>>>
  /**
   * `whole_prompt`: the prompt's size picks one price for every token of the request, as Anthropic, Google,
   * OpenAI and xAI bill; `marginal`: of each class, only what lies above `start` costs more.
   */
  readonly tier_mode: 'whole_prompt' | 'marginal'
  /** No price is published for longer prompts in this tier. */
  readonly prompt_tokens_max: number
  /** Why this time has no price, for a rule that only says so. */
  readonly unpriced_reason: string | null
  readonly source: string
}

export type CatalogModel = {
  readonly provider: string
  readonly model: string
  /** The provider says that this model costs the same wherever inference runs. */
  readonly ignores_geo: boolean
  /** Of the valid ones the last wins. */
  readonly rules: readonly PriceRule[]
}

/** What a question can come down to: rules to choose from by time, or the reason why there are none. */
export type Selection = { readonly rules: readonly PriceRule[]; readonly reason: string }

export type Catalog = {
  readonly source: string
  /** By `provider` and lower-case name. */
  readonly lines: ReadonlyMap<string, ModelLine>
  /** Look-ups that were made before; an answer never changes within a catalog. */
  readonly selections: Map<string, Selection>
  readonly models: Map<ModelLine, CatalogModel>
}

export type ModelLine = {
  readonly data: ModelData
  readonly source: string
  readonly overrides: readonly PriceOverride[]
}

/** `catalog.json`. Integers are pico-dollars; a list is a price and its tiers `[start, price]`. */
export type CatalogData = {
  readonly package: string
  readonly version: string
  readonly licence: string
  readonly homepage: string
  /** The page that a provider's prices are published on. */
  readonly sources: Readonly<Record<string, string>>
  readonly models: readonly ModelData[]
}
export type ModelData = {
  readonly provider: string
  readonly model: string
  readonly names: readonly string[]
  readonly ignores_geo?: true
  readonly rules: readonly RuleData[]
}
export type PriceData = number | readonly [base: number, ...tiers: (readonly [number, number])[]]
export type RuleData = {
  readonly tier?: string
  readonly geo?: string
  readonly from?: string
  readonly to?: string
  readonly daily?: readonly [start: string, end: string]
  readonly max?: number
  readonly prices?: Readonly<Partial<Record<PriceClass, PriceData>>>
  readonly units?: Readonly<Partial<Record<Unit, readonly [picos: number, per: number]>>>
  readonly unpriced?: string
  readonly source?: string
}

/** Reads the bundled prices and puts the user's own before them. Costs a file read: keep the result. */
export function loadCatalog(overrides: readonly PriceOverride[] = []): Catalog {
  const file = new URL('catalog.json', import.meta.url)
  return createCatalog(JSON.parse(readFileSync(file, 'utf8')) as CatalogData, overrides)
}

export function createCatalog(
  data: CatalogData,
  overrides: readonly PriceOverride[] = [],
): Catalog {
  const lines = new Map<string, ModelLine>()
  for (const model of data.models) {
    const source = data.sources[model.provider] ?? data.homepage
    const line = { data: model, source, overrides: [] }
    for (const name of model.names) lines.set(modelKey(model.provider, name), line)
  }
  for (const override of overrides) addOverride(lines, override)
  const source = `${data.package} ${data.version} (${data.licence}), ${data.homepage}`
  return { source, lines, selections: new Map(), models: new Map() }
}

/**
 * A price for a model's own name holds for all its names; one for an alias or a snapshot holds for that
 * name alone.
 */
function addOverride(lines: Map<string, ModelLine>, override: PriceOverride): void {
  const provider = providerId(override.provider)
  const name = override.model.toLowerCase()
  const known = lines.get(modelKey(provider, name)) ?? findLine(lines, provider, name)
  const data = known?.data ?? { provider, model: override.model, names: [name], rules: [] }
  const line = {
    data,
    source: known?.source ?? '',
    overrides: [...(known?.overrides ?? []), override],
  }
  const is_own_name = data.model.toLowerCase() === name
  for (const one of is_own_name ? data.names : [name]) lines.set(modelKey(provider, one), line)
}

/** The rules of a line, made when it is first asked for: few of the many models are ever used. */
export function modelOf(catalog: Catalog, line: ModelLine): CatalogModel {
  const known = catalog.models.get(line)
  if (known) return known
  const { provider, model, ignores_geo = false, rules } = line.data
  const compiled = {
    provider,
    model,
    ignores_geo,
    rules: [
      ...rules.map((rule) => compileRule(line, rule)),
      ...line.overrides
        .map((override) => overrideRule(provider, model, override))
        .sort((a, b) => a.valid_from - b.valid_from),
    ],
  }
  catalog.models.set(line, compiled)
  return compiled
}

function compileRule({ data, source }: ModelLine, rule: RuleData): PriceRule {
  const { provider, model } = data
  const tier = rule.tier ?? 'standard'
  const window = rule.daily ? `/${rule.daily[0]}` : ''
  const mode = `${tier === 'standard' ? '' : `#${tier}`}${rule.geo ? `+${rule.geo}` : ''}`
  return {
    id: `${provider}/${model}@${rule.from ?? 'start'}${window}${mode}`,
    provider,
    model,
    service_tier: tier,
    inference_geo: rule.geo ?? null,
    valid_from: rule.from ? Date.parse(rule.from) : Number.NEGATIVE_INFINITY,
    valid_to: rule.to ? Date.parse(rule.to) : Number.POSITIVE_INFINITY,
    daily: rule.daily ? [minuteOf(rule.daily[0]), minuteOf(rule.daily[1])] : null,
    prices: mapValues(rule.prices ?? {}, tieredPrice),
    units: mapValues(rule.units ?? {}, ([picos, per]) => ({
      picos: BigInt(picos),
      per: BigInt(per),
    })),
    tier_mode: 'whole_prompt',
    prompt_tokens_max: rule.max ?? Number.POSITIVE_INFINITY,
    unpriced_reason: rule.unpriced ?? null,
    source: rule.source ?? source,
  }
}

function tieredPrice(price: PriceData): TieredPrice {
  if (typeof price === 'number') return { base: BigInt(price), tiers: [] }
  const [base, ...tiers] = price
  return {
    base: BigInt(base),
    tiers: tiers.map(([start, above]) => ({ start, price: BigInt(above) })),
  }
}

function minuteOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map((part) => Number.parseInt(part, 10))
  return hours * 60 + minutes
}

function mapValues<Key extends string, From, To>(
  record: Readonly<Partial<Record<Key, From>>>,
  map: (value: From) => To,
): Partial<Record<Key, To>> {
  const entries = Object.entries(record) as [Key, From][]
  return Object.fromEntries(entries.map(([key, value]) => [key, map(value)])) as Partial<
    Record<Key, To>
  >
}

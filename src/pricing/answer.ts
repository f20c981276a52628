import { isoTime } from '../clock.ts'
import { UserError } from '../errors.ts'
import type { Catalog, CatalogModel } from './catalog.ts'
import { describePrice, type PriceDescription } from './describe.ts'
import { findModel, listModels, suggestModels } from './match.ts'
import { findRule } from './price.ts'

export type PriceQuestion = {
  readonly model: string
  readonly provider?: string | undefined
  readonly at: number
  readonly service_tier?: string | undefined
}

export type PriceAnswer = { prices: PriceDescription[]; at: string; notes: string[] }

const TIERS = ['standard', 'batch', 'flex', 'priority', 'fast']

/** @throws UserError for a model that no price is known of, with the closest names. */
export function answerPrice(catalog: Catalog, question: PriceQuestion): PriceAnswer {
  const { model, provider, at, service_tier } = question
  const models = provider ? [findModel(catalog, provider, model)] : listModels(catalog, model)
  const known = models.filter((one): one is CatalogModel => one !== undefined)
  if (known.length === 0) throw unknownModel(catalog, model, provider)
  const tiers = service_tier ? [service_tier] : TIERS
  const rules = known.flatMap((one) =>
    tiers.flatMap(
      (tier) => findRule(catalog, { provider: one.provider, model, at, service_tier: tier }) ?? [],
    ),
  )
  // OpenAI's "fast" is its "priority": one rule is told once.
  const prices = [...new Set(rules)].map(describePrice)
  return { prices, at: isoTime(at), notes: notesOf(known, prices, at, service_tier) }
}

function unknownModel(catalog: Catalog, model: string, provider: string | undefined): UserError {
  const near = suggestModels(catalog, provider, model, 3)
  return new UserError(
    `No price is known for "${model}"${provider ? ` at ${provider}` : ''}.${near.length > 0 ? ` Closest: ${near.join(', ')}.` : ''} Its use is recorded as unpriced; a price of your own goes into prices.json.`,
  )
}

function notesOf(
  known: readonly CatalogModel[],
  prices: readonly PriceDescription[],
  at: number,
  service_tier: string | undefined,
): string[] {
  const reasons = known.flatMap(({ rules }) =>
    rules.flatMap(({ unpriced_reason, valid_from }) =>
      unpriced_reason !== null && at >= valid_from ? [`Unpriced: ${unpriced_reason}.`] : [],
    ),
  )
  if (prices.length === 0)
    return [
      `No ${service_tier ?? 'list'} price is published for ${known[0]?.model}; such use is unpriced.`,
      ...reasons,
    ]
  const has_geo = known.some(({ rules }) =>
    rules.some(({ inference_geo }) => inference_geo === 'us'),
  )
  return [
    'List prices; what a provider bills can differ by discount. get_spend shows what was billed.',
    ...(has_geo
      ? ['Inference that is kept in the United States costs 1.1 times the token prices.']
      : []),
    ...reasons,
  ]
}

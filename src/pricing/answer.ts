import { isoTime } from '../clock.ts'
import { UserError } from '../errors.ts'
import type { Catalog, CatalogModel, Femtos, PriceRule } from './catalog.ts'
import { findModel, listModels, suggestModels } from './match.ts'
import { findRule } from './price.ts'

export type PriceQuestion = {
  readonly model: string
  readonly provider?: string | undefined
  readonly at: number
  readonly service_tier?: string | undefined
}

export type PriceText = {
  readonly provider: string
  readonly model: string
  readonly service_tier: string
  /** Exact decimal texts in USD, by token class. */
  readonly usd_per_mtok: Readonly<Record<string, string>>
  readonly usd_per_unit?: Readonly<Record<string, string>>
  readonly long_context?: {
    readonly above_tokens: number
    readonly mode: string
    readonly usd_per_mtok: Readonly<Record<string, string>>
  }
  readonly valid_from: string | null
  readonly source: string
}

export type PriceAnswer = { prices: PriceText[]; at: string; notes: string[] }

const TIERS = ['standard', 'batch', 'flex', 'priority', 'fast']

/** @throws UserError for a model that no price is known of, with the closest names. */
export function answerPrice(catalog: Catalog, question: PriceQuestion): PriceAnswer {
  const { model, provider, at, service_tier } = question
  const models = provider ? [findModel(catalog, provider, model)] : listModels(catalog, model)
  const known = models.filter((one): one is CatalogModel => one !== undefined)
  if (known.length === 0) throw unknownModel(catalog, model, provider)
  const tiers = service_tier ? [service_tier] : TIERS
  const prices = known.flatMap((one) =>
    tiers.flatMap((tier) => {
      const rule = findRule(catalog, one, at, tier)
      return rule ? [priceText(rule)] : []
    }),
  )
  return { prices, at: isoTime(at), notes: notesOf(known, prices, service_tier) }
}

function unknownModel(catalog: Catalog, model: string, provider: string | undefined): UserError {
  const near = suggestModels(catalog, provider, model, 3)
  return new UserError(
    `No price is known for "${model}"${provider ? ` at ${provider}` : ''}.${near.length > 0 ? ` Closest: ${near.join(', ')}.` : ''} Its use is recorded as unpriced; a price of your own goes into prices.json.`,
  )
}

function notesOf(
  known: readonly CatalogModel[],
  prices: readonly PriceText[],
  service_tier: string | undefined,
): string[] {
  if (prices.length === 0)
    return [
      `No ${service_tier ?? 'list'} price is published for ${known[0]?.model}; such use is unpriced.`,
    ]
  return [
    'List prices; what a provider bills can differ by discount. get_spend shows what was billed.',
  ]
}

function priceText(rule: PriceRule): PriceText {
  const prices = [...rule.prices]
  const start = prices.flatMap(([, { tiers }]) => tiers[0]?.start ?? [])[0]
  return {
    provider: rule.provider,
    model: rule.model,
    service_tier: rule.service_tier,
    usd_per_mtok: Object.fromEntries(
      prices.map(([name, { base }]) => [name.replace(/_tokens$/, ''), perMillion(base)]),
    ),
    ...(rule.units.size > 0
      ? {
          usd_per_unit: Object.fromEntries(
            [...rule.units].map(([unit, femtos]) => [unit, decimal(femtos, 15)]),
          ),
        }
      : {}),
    ...(start === undefined
      ? {}
      : {
          long_context: {
            above_tokens: start,
            mode: rule.tier_mode,
            usd_per_mtok: Object.fromEntries(
              prices.map(([name, { base, tiers }]) => [
                name.replace(/_tokens$/, ''),
                perMillion(tiers[0]?.price ?? base),
              ]),
            ),
          },
        }),
    valid_from: Number.isFinite(rule.valid_from) ? isoTime(rule.valid_from).slice(0, 10) : null,
    source: rule.source,
  }
}

function perMillion(femtos: Femtos): string {
  return decimal(femtos, 9)
}

function decimal(value: bigint, places: number): string {
  const digits = value.toString().padStart(places + 1, '0')
  const fraction = digits.slice(-places).replace(/0+$/, '')
  return digits.slice(0, -places) + (fraction ? `.${fraction}` : '')
}

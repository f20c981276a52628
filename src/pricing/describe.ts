import { isoTime } from '../clock.ts'
import type { Picos, PriceClass, PriceRule, TieredPrice } from './catalog.ts'
import { PRICE_NAMES } from './override.ts'

export type PriceDescription = {
  readonly rule_id: string
  readonly provider: string
  readonly model: string
  readonly service_tier: string
  readonly inference_geo?: string | undefined
  /** Exact decimal texts in USD, by token class. */
  readonly usd_per_mtok: Readonly<Record<string, string>>
  /** `usd` for `per` units, exact. */
  readonly usd_per_unit?:
    | Readonly<Record<string, { readonly usd: string; readonly per: number }>>
    | undefined
  readonly tier_mode?: 'whole_prompt' | 'marginal' | undefined
  /** The prices of longer prompts: each holds for more tokens than `above_tokens`. */
  readonly tiers?:
    | readonly {
        readonly above_tokens: number
        readonly usd_per_mtok: Readonly<Record<string, string>>
      }[]
    | undefined
  readonly prompt_tokens_max?: number | undefined
  readonly utc_hours?: string | undefined
  readonly valid_from?: string | undefined
  readonly valid_to?: string | undefined
  readonly source: string
}

const PICO_PLACES = 12
const MTOK_PLACES = 6

/** A rule as plain data, for people and machines alike. */
export function describePrice(rule: PriceRule): PriceDescription {
  const prices = Object.entries(PRICE_NAMES).flatMap(([name, price_class]) =>
    pricesOf(rule, name, price_class),
  )
  const starts = [...new Set(prices.flatMap(([, { tiers }]) => tiers.map(({ start }) => start)))]
  const tiers = starts
    .sort((a, b) => a - b)
    .map((start) => ({
      above_tokens: start,
      usd_per_mtok: Object.fromEntries(
        prices.map(([name, price]) => [name, perMillion(priceAbove(price, start))]),
      ),
    }))
  return {
    rule_id: rule.id,
    provider: rule.provider,
    model: rule.model,
    service_tier: rule.service_tier,
    ...(rule.inference_geo && rule.inference_geo !== '*'
      ? { inference_geo: rule.inference_geo }
      : {}),
    usd_per_mtok: Object.fromEntries(prices.map(([name, { base }]) => [name, perMillion(base)])),
    ...unitsOf(rule),
    ...(tiers.length > 0 ? { tier_mode: rule.tier_mode, tiers } : {}),
    ...(Number.isFinite(rule.prompt_tokens_max)
      ? { prompt_tokens_max: rule.prompt_tokens_max }
      : {}),
    ...(rule.daily ? { utc_hours: rule.daily.map(clockTime).join('-') } : {}),
    ...named('valid_from', dateOf(rule.valid_from)),
    ...named('valid_to', dateOf(rule.valid_to)),
    source: rule.source,
  }
}

function pricesOf(rule: PriceRule, name: string, price_class: PriceClass): [string, TieredPrice][] {
  const price = rule.prices[price_class]
  return price ? [[name, price]] : []
}

function priceAbove({ base, tiers }: TieredPrice, start: number): Picos {
  return tiers.findLast((tier) => tier.start <= start)?.price ?? base
}

function unitsOf({ units }: PriceRule): Pick<PriceDescription, 'usd_per_unit'> {
  const entries = Object.entries(units)
  if (entries.length === 0) return {}
  return {
    usd_per_unit: Object.fromEntries(
      entries.map(([unit, { picos, per }]) => [
        unit,
        { usd: decimalText(picos, PICO_PLACES), per: Number(per) },
      ]),
    ),
  }
}

function perMillion(picos: Picos): string {
  return decimalText(picos, MTOK_PLACES)
}

function decimalText(value: bigint, places: number): string {
  const digits = value.toString().padStart(places + 1, '0')
  const fraction = digits.slice(-places).replace(/0+$/, '')
  return digits.slice(0, -places) + (fraction ? `.${fraction}` : '')
}

/** A day where it starts at midnight UTC, else the instant; undefined without a bound. */
function dateOf(at: number): string | undefined {
  return Number.isFinite(at) ? isoTime(at).replace('T00:00:00.000Z', '') : undefined
}

function named(name: string, text: string | undefined) {
  return text === undefined ? {} : { [name]: text }
}

function clockTime(minute: number): string {
  const two = (value: number) => String(value).padStart(2, '0')
  return `${two(Math.floor(minute / 60))}:${two(minute % 60)}`
}

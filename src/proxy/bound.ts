import { MINUTE_MS } from '../clock.ts'
import type { Nanos } from '../money.ts'
import type { Catalog, PriceClass, PriceRule } from '../pricing/catalog.ts'
import { findRule } from '../pricing/price.ts'
import type { Ask, JsonObject, Surface } from '../providers/wire.ts'

/**
 * The most that a request can cost. It is a ceiling, not a guess: every tokenizer's token covers at least
 * one byte, and what bytes do not bound is bounded by the model's context window.
 */
export type Bound = {
  readonly nanos: Nanos
  readonly input_tokens: number
  readonly output_tokens: number
  /** What the answer's length does not change, in pico-dollars. */
  readonly fixed_picos: bigint
  /** For each token of the output limit. */
  readonly picos_per_cap_token: bigint
}

export type BoundQuery = {
  readonly provider: string
  readonly model: string
  readonly at: number
  readonly ask: Ask
  readonly body: JsonObject
  readonly body_bytes: number
  readonly limits: ReturnType<Surface['limitsOf']>
}

const PICOS_PER_NANO = 1_000n
/** Roles, separators and schemas that a provider adds around the whole and around each message and tool. */
const SCAFFOLD_TOKENS = 512
const LISTS = ['messages', 'input', 'contents', 'tools', 'system', 'requests'] as const

/** Null: nothing bounds it, or a part of it has no price. */
export function boundRequest(catalog: Catalog, query: BoundQuery): Bound | null {
  const { ask, limits } = query
  if (ask.passes === null) return null
  const passes = ask.passes
  const from_bytes = query.body_bytes + SCAFFOLD_TOKENS * countParts(query.body)
  const input_once = ask.has_unbounded_input
    ? limits.context
    : Math.min(from_bytes, Math.max(limits.context, 1))
  const output_once = ask.output_tokens_max ?? limits.output
  const bounds = listRules(catalog, query).map((rule) =>
    boundByRule(rule, ask, { input_once, output_once, passes }),
  )
  const known = bounds.filter((bound) => bound !== null)
  if (known.length === 0) return null
  return {
    ...known.reduce((dearest, one) => (one.nanos > dearest.nanos ? one : dearest)),
    // With a smaller cap another rule can be the dearest.
    fixed_picos: highest(known.map((one) => one.fixed_picos)),
    picos_per_cap_token: highest(known.map((one) => one.picos_per_cap_token)),
  }
}

function highest(amounts: readonly bigint[]): bigint {
  let most = 0n
  for (const one of amounts) if (one > most) most = one
  return most
}

type Sizes = { input_once: number; output_once: number; passes: number }

function boundByRule(rule: PriceRule, ask: Ask, sizes: Sizes): Bound | null {
  const { input_once, output_once, passes } = sizes
  if (isMissing(rule, ask)) return null
  if (Number.isFinite(rule.prompt_tokens_max) && input_once > rule.prompt_tokens_max)
    return boundByRule({ ...rule, prompt_tokens_max: Number.POSITIVE_INFINITY }, ask, {
      ...sizes,
      input_once: rule.prompt_tokens_max,
    })
  const input = dearest(rule, inputClasses(ask), input_once)
  const output = dearest(rule, outputClasses(ask), input_once)
  const fees = unitFees(rule, ask)
  if (fees === null) return null
  if (input === null && ask.units.length === 0) return null
  if (output === null && output_once > 0) return null
  const fixed_picos = (input ?? 0n) * BigInt(input_once * passes) + fees
  const picos_per_cap_token = (output ?? 0n) * BigInt(ask.choices * passes)
  const picos = fixed_picos + picos_per_cap_token * BigInt(output_once)
  return {
    nanos: (picos + PICOS_PER_NANO - 1n) / PICOS_PER_NANO,
    input_tokens: input_once * passes,
    output_tokens: output_once * ask.choices * passes,
    fixed_picos,
    picos_per_cap_token,
  }
}

/** Something dearer than text can be billed, and has no price: that of text would be no ceiling. */
function isMissing({ prices }: PriceRule, { modalities, cache_write }: Ask): boolean {
  const has_media_price = modalities.some(
    (one) => prices[`input_${one}_tokens`] ?? prices[`output_${one}_tokens`],
  )
  if (modalities.length > 0 && !has_media_price) return true
  return (
    cache_write === '1h' &&
    prices.cache_write_5m_tokens !== undefined &&
    prices.cache_write_1h_tokens === undefined
  )
}

/** The longest answer that an amount pays for, or null where not even one token fits. */
export function affordableCap(bound: Bound, affordable_nanos: Nanos): number | null {
  if (bound.picos_per_cap_token === 0n) return null
  const rest = affordable_nanos * PICOS_PER_NANO - bound.fixed_picos
  const tokens = rest / bound.picos_per_cap_token
  return rest > 0n && tokens >= 1n ? Number(tokens) : null
}

/** The same request with a smaller limit. */
export function withCap(bound: Bound, cap: number, ask: Ask): Bound {
  const picos = bound.fixed_picos + bound.picos_per_cap_token * BigInt(cap)
  return {
    ...bound,
    nanos: (picos + PICOS_PER_NANO - 1n) / PICOS_PER_NANO,
    output_tokens: cap * ask.choices * (ask.passes ?? 1),
  }
}

function countParts(body: JsonObject): number {
  return LISTS.reduce((sum, name) => {
    const list = body[name] ?? []
    return sum + (Array.isArray(list) ? list.length : 1)
  }, 1)
}

function inputClasses({ modalities, cache_write }: Ask): PriceClass[] {
  return [
    'uncached_input_tokens',
    'cache_read_tokens',
    ...(cache_write ? (['cache_write_5m_tokens'] as const) : []),
    ...(cache_write === '1h' ? (['cache_write_1h_tokens'] as const) : []),
    ...(modalities.includes('audio') ? (['input_audio_tokens'] as const) : []),
    ...(modalities.includes('image') ? (['input_image_tokens'] as const) : []),
  ]
}

function outputClasses({ modalities }: Ask): PriceClass[] {
  return [
    'output_tokens',
    'reasoning_tokens',
    ...(modalities.includes('audio') ? (['output_audio_tokens'] as const) : []),
    ...(modalities.includes('image') ? (['output_image_tokens'] as const) : []),
  ]
}

/** The highest price among the classes that a prompt of at most this size can reach. */
function dearest(
  rule: PriceRule,
  classes: readonly PriceClass[],
  prompt_tokens: number,
): bigint | null {
  let highest: bigint | null = null
  for (const name of classes) {
    const price = rule.prices[name]
    if (!price) continue
    const reachable = price.tiers.filter(({ start }) => prompt_tokens > start)
    for (const one of [price.base, ...reachable.map((tier) => tier.price)])
      if (highest === null || one > highest) highest = one
  }
  return highest
}

function unitFees(rule: PriceRule, { units }: Ask): bigint | null {
  let fees = 0n
  for (const { unit, max } of units) {
    const price = rule.units[unit]
    if (max === null || !price) return null
    fees += (price.picos * BigInt(max) + price.per - 1n) / price.per
  }
  return fees
}

/** What an unspecified tier can turn out to be, and what a special one can fall back to. */
const TIERS: Readonly<Record<string, readonly string[]>> = {
  '': ['standard', 'priority'],
  auto: ['standard', 'priority'],
  default: ['standard'],
  standard: ['standard'],
  standard_only: ['standard'],
  batch: ['batch'],
  flex: ['flex', 'standard'],
  priority: ['priority', 'standard'],
}

/** The price rules of a plain request, as one text: while it is the same, an old bound of it stands. */
export function ruleIds(
  catalog: Catalog,
  { provider, model, at }: Pick<BoundQuery, 'provider' | 'model' | 'at'>,
): string {
  return [null, 'us']
    .map((inference_geo) => {
      const query = { provider, model, at, service_tier: 'standard', inference_geo, speed: null }
      return findRule(catalog, query)?.id ?? ''
    })
    .join(' ')
}

type Remembered = { minute: number; readonly rules: Map<string, readonly PriceRule[]> }

/** Names of models come from outside. */
const REMEMBERED_MAX = 1_000
/** Prices change at most from minute to minute. */
const remembered = new WeakMap<Catalog, Remembered>()

function listRules(catalog: Catalog, query: BoundQuery): readonly PriceRule[] {
  const { provider, model, ask } = query
  const minute = Math.floor(query.at / MINUTE_MS)
  const known = remembered.get(catalog) ?? { minute, rules: new Map() }
  if (known.minute !== minute || known.rules.size >= REMEMBERED_MAX) known.rules.clear()
  known.minute = minute
  remembered.set(catalog, known)
  const key = `${provider}\n${model}\n${ask.service_tier}\n${ask.inference_geo}\n${ask.speed}`
  const rules = known.rules.get(key) ?? findRules(catalog, query)
  known.rules.set(key, rules)
  return rules
}

/** Every rule that the request can come under, at every tier, place and speed that it leaves open. */
function findRules(catalog: Catalog, { provider, model, at, ask }: BoundQuery): PriceRule[] {
  const asked = (ask.service_tier ?? '').toLowerCase()
  const tiers = TIERS[asked] ?? [asked, 'standard', 'priority']
  const geos = ask.inference_geo === null ? [null, 'us'] : [ask.inference_geo]
  const speeds = ask.speed === 'fast' ? (['fast', null] as const) : ([null] as const)
  const rules = tiers.flatMap((service_tier) =>
    geos.flatMap((inference_geo) =>
      speeds.flatMap(
        (speed) =>
          findRule(catalog, { provider, model, at, service_tier, inference_geo, speed }) ?? [],
      ),
    ),
  )
  return [...new Set(rules)]
}

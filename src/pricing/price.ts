import { divideHalfEven, type Nanos } from '../money.ts'
import { TOKEN_CLASSES, type Usage } from '../usage.ts'
import type { Catalog, Picos, PriceClass, PriceRule, TieredPrice } from './catalog.ts'
import { isPricedByHour, type RuleQuery, ruleAt, selectRules } from './select.ts'

export { findRule } from './select.ts'

export type PriceQuery = RuleQuery & {
  readonly service_tier: string | null
  readonly speed: 'fast' | null
  /** The provider's own word on the prompt's size, where usage is aggregated. */
  readonly context_window?: '0-200k' | '200k-1M' | null
  /** Whether the usage is of one request, so that its prompt's size can pick the tier. */
  readonly is_single_request: boolean
  readonly usage: Usage
}

export type Priced =
  | { readonly cost_nanos: Nanos; readonly rule_id: string }
  | { readonly cost_nanos: null; readonly rule_id: null; readonly reason: string }

const PICOS_PER_NANO = 1_000n
/** The shortest prompt that Anthropic reports as `200k-1M`. */
const LONG_PROMPT_TOKENS = 200_001

/** What the usage costs at list price, rounded once; or why that is not known. Unknown is never zero. */
export function priceUsage(catalog: Catalog, query: PriceQuery): Priced {
  const selection = selectRules(catalog, query)
  if (!query.is_single_request && isPricedByHour(selection, query.at))
    return unpriced('the price depends on the hour, and this usage is a sum over time')
  const rule = ruleAt(selection, query.at)
  if (!rule) return unpriced(selection.reason)
  if (rule.unpriced_reason !== null) return unpriced(rule.unpriced_reason)
  return applyRule(rule, query)
}

function unpriced(reason: string): Priced {
  return { cost_nanos: null, rule_id: null, reason }
}

function applyRule(rule: PriceRule, query: PriceQuery): Priced {
  const { usage } = query
  const prompt_tokens = promptTokens(query)
  if (prompt_tokens > rule.prompt_tokens_max)
    return unpriced(
      `no ${rule.service_tier} price is published for ${rule.model} above ${rule.prompt_tokens_max} prompt tokens`,
    )
  let picos = 0n
  for (const name of TOKEN_CLASSES) {
    const tokens = usage[name]
    if (tokens === 0) continue
    const cost =
      name === 'output_tokens'
        ? outputCost(rule, usage, prompt_tokens)
        : classCost(rule, name, tokens, prompt_tokens)
    if (cost === undefined) return unpriced(`${rule.model} has no price for ${name}`)
    picos += cost
  }
  if (usage.unit === null || usage.units === 0)
    return { cost_nanos: divideHalfEven(picos, PICOS_PER_NANO), rule_id: rule.id }
  const unit = rule.units[usage.unit]
  if (!unit) return unpriced(`${rule.model || rule.provider} has no price for a ${usage.unit}`)
  // Tokens and units in one fraction, so that their sum is rounded once.
  const total = picos * unit.per + unit.picos * BigInt(usage.units)
  return { cost_nanos: divideHalfEven(total, PICOS_PER_NANO * unit.per), rule_id: rule.id }
}

/** How long the prompt was, or a batch's are on average; of aggregated usage only what the provider says of it. */
function promptTokens({ usage, is_single_request, context_window }: PriceQuery): number {
  if (!is_single_request) return context_window === '200k-1M' ? LONG_PROMPT_TOKENS : 0
  const tokens =
    usage.uncached_input_tokens +
    usage.cache_read_tokens +
    usage.cache_write_5m_tokens +
    usage.cache_write_1h_tokens +
    usage.input_audio_tokens +
    usage.input_image_tokens
  return tokens / Math.max(usage.requests ?? 1, 1)
}

/** Reasoning is a part of the output: where it has its own price, the rest of the output keeps its own. */
function outputCost(rule: PriceRule, usage: Usage, prompt_tokens: number): Picos | undefined {
  const { output_tokens } = usage
  if (!rule.prices.reasoning_tokens)
    return classCost(rule, 'output_tokens', output_tokens, prompt_tokens)
  const reasoning = Math.min(usage.reasoning_tokens, output_tokens)
  const thought = classCost(rule, 'reasoning_tokens', reasoning, prompt_tokens)
  if (reasoning === output_tokens) return thought
  const said = classCost(rule, 'output_tokens', output_tokens - reasoning, prompt_tokens)
  return thought === undefined || said === undefined ? undefined : thought + said
}

function classCost(
  { prices, tier_mode }: PriceRule,
  name: PriceClass,
  tokens: number,
  prompt_tokens: number,
): Picos | undefined {
  const price = prices[name]
  if (!price) return undefined
  if (price.tiers.length === 0) return price.base * BigInt(tokens)
  // Of aggregated usage no single size is known: without a word on it, the base price.
  if (tier_mode === 'marginal')
    return prompt_tokens === 0 ? price.base * BigInt(tokens) : marginalCost(price, tokens)
  const tier = price.tiers.findLast(({ start }) => prompt_tokens > start)
  return (tier?.price ?? price.base) * BigInt(tokens)
}

function marginalCost({ base, tiers }: TieredPrice, tokens: number): Picos {
  let cost = 0n
  let rest = tokens
  for (const { start, price } of tiers.toReversed()) {
    const above = Math.max(0, rest - start)
    cost += price * BigInt(above)
    rest -= above
  }
  return cost + base * BigInt(rest)
}

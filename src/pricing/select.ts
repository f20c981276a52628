import { type Catalog, modelOf, type PriceRule, type Selection } from './catalog.ts'
import { findLine, providerId } from './spelling.ts'

export type RuleQuery = {
  readonly provider: string
  readonly model: string
  /** The instant of the request: prices are dated. */
  readonly at: number
  /** null and `standard` are the list price. */
  readonly service_tier?: string | null
  readonly speed?: 'fast' | null
  readonly inference_geo?: string | null
}

const TIER_ALIASES: Readonly<Record<string, string>> = {
  '': 'standard',
  auto: 'standard',
  default: 'standard',
  on_demand: 'standard',
  on_demand_priority: 'priority',
  on_demand_flex: 'flex',
}

/** Answers of "wherever": https://platform.claude.com/docs/en/manage-claude/data-residency */
const ANYWHERE = ['', 'global', 'not_available']

const MINUTE_MS = 60_000
const MINUTES_PER_DAY = 1_440
/** Names come from outside: without a limit a stream of new ones would fill the memory. */
const SELECTIONS_MAX = 10_000

/** The rule in force; undefined where no price is published. */
export function findRule(catalog: Catalog, query: RuleQuery): PriceRule | undefined {
  const rule = ruleAt(selectRules(catalog, query), query.at)
  return rule?.unpriced_reason === null ? rule : undefined
}

/** The last valid rule, which may be one that only says why there is no price. */
export function ruleAt({ rules }: Selection, at: number): PriceRule | undefined {
  for (let i = rules.length - 1; i >= 0; i--) {
    const rule = rules[i]
    if (rule && isInForce(rule, at) && isInWindow(rule, at)) return rule
  }
  return undefined
}

/** Whether the price at that date changes with the hour, so that a sum over hours has no one price. */
export function isPricedByHour({ rules }: Selection, at: number): boolean {
  const last = rules.findLast((rule) => isInForce(rule, at))
  return rules.some((rule) => rule.daily !== null && isInForce(rule, at)) && !isOwn(last)
}

function isOwn(rule: PriceRule | undefined): boolean {
  return rule?.inference_geo === '*'
}

function isInForce({ valid_from, valid_to }: PriceRule, at: number): boolean {
  return at >= valid_from && at < valid_to
}

function isInWindow({ daily }: PriceRule, at: number): boolean {
  if (!daily) return true
  const minute = Math.floor(at / MINUTE_MS) % MINUTES_PER_DAY
  const [start, end] = daily
  return start < end ? minute >= start && minute < end : minute >= start || minute < end
}

/** What does not depend on time or amounts, remembered: syncs ask the same few questions all the time. */
export function selectRules(catalog: Catalog, query: RuleQuery): Selection {
  const { provider, model, service_tier, speed, inference_geo } = query
  const key = `${provider}\n${model}\n${service_tier ?? ''}\n${speed ?? ''}\n${inference_geo ?? ''}`
  const known = catalog.selections.get(key)
  if (known) return known
  const selection = select(catalog, query)
  if (catalog.selections.size >= SELECTIONS_MAX) catalog.selections.clear()
  catalog.selections.set(key, selection)
  return selection
}

function select(catalog: Catalog, query: RuleQuery): Selection {
  const provider = providerId(query.provider)
  const line = findLine(catalog.lines, provider, query.model)
  if (!line) return none(`no price is known for ${query.provider} ${query.model || '(no model)'}`)
  const model = modelOf(catalog, line)
  const tier = tierOf(provider, query)
  const of_tier = model.rules.filter(({ service_tier }) => service_tier === tier)
  if (of_tier.length === 0 && model.rules.every(({ unpriced_reason }) => unpriced_reason !== null))
    return { rules: model.rules, reason: '' }
  if (of_tier.length === 0) return none(`no ${tier} price is published for ${model.model}`)
  const wish = (query.inference_geo ?? '').toLowerCase()
  const geo = ANYWHERE.includes(wish) || model.ignores_geo ? null : wish
  const rules = of_tier.filter(
    ({ inference_geo }) => inference_geo === geo || inference_geo === '*',
  )
  return rules.length > 0
    ? { rules, reason: `no ${tier} price is known for ${model.model} at that time` }
    : none(`no ${tier} price is published for ${model.model} with inference in "${wish}"`)
}

function none(reason: string): Selection {
  return { rules: [], reason }
}

/**
 * One word for a tier and a speed. OpenAI renamed Priority processing to Fast mode and takes both words:
 * https://developers.openai.com/api/docs/guides/fast-mode
 */
function tierOf(provider: string, { service_tier, speed }: RuleQuery): string {
  const lower = (service_tier ?? '').trim().toLowerCase()
  const tier = TIER_ALIASES[lower] ?? lower
  if (speed !== 'fast') return provider === 'openai' && tier === 'fast' ? 'priority' : tier
  const fast = provider === 'openai' ? 'priority' : 'fast'
  return tier === 'standard' || tier === 'fast' || tier === fast ? fast : `fast ${tier}`
}

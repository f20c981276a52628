import { readFileSync, writeFileSync } from 'node:fs'
import { findProvider, type MatchLogic, type ModelInfo } from '@pydantic/genai-prices'
import { parseDecimal } from '../src/money.ts'
import type { CatalogData, ClassPrice, RuleData } from '../src/pricing/catalog.ts'

/**
 * Turns the data of @pydantic/genai-prices (MIT) into `src/pricing/catalog.json`: exact integers, one
 * line a model. Run it after updating the package: node scripts/pricing-catalog.ts
 */
const PROVIDERS = [
  'anthropic',
  'openai',
  'google',
  'openrouter',
  'mistral',
  'deepseek',
  'x-ai',
  'groq',
  'cohere',
  'perplexity',
  'moonshotai',
  'cerebras',
  'fireworks',
  'together',
  'azure',
  'aws',
]

const CLASSES: Readonly<Record<string, string>> = {
  input_mtok: 'uncached_input_tokens',
  cache_read_mtok: 'cache_read_tokens',
  cache_write_mtok: 'cache_write_5m_tokens',
  cache_write_1h_mtok: 'cache_write_1h_tokens',
  input_audio_mtok: 'input_audio_tokens',
  input_image_mtok: 'input_image_tokens',
  output_mtok: 'output_tokens',
  output_audio_mtok: 'output_audio_tokens',
  output_image_mtok: 'output_image_tokens',
}
const UNITS: Readonly<Record<string, string>> = {
  web_searches_kcount: 'web_search',
  storage_searches_kcount: 'file_search',
  requests_kcount: 'request',
}
/** Prices of things that usage does not tell apart; they do not spoil the rest of the rule. */
const UNSEEN = [
  'cache_audio_read_mtok',
  'cache_image_read_mtok',
  'input_video_mtok',
  'output_video_mtok',
  'audio_hours',
  'input_audio_hours',
  'input_document_kpages',
  'input_annotated_document_kpages',
  'input_text_messages_kcount',
]

export function buildCatalog(): CatalogData {
  const { version } = JSON.parse(
    readFileSync(
      new URL('../node_modules/@pydantic/genai-prices/package.json', import.meta.url),
      'utf8',
    ),
  ) as { version: string }
  return {
    source: `https://github.com/pydantic/genai-prices ${version} (MIT)`,
    models: PROVIDERS.flatMap((id) => {
      const provider = findProvider({ providerId: id })
      if (!provider) throw new Error(`the package has no provider ${id}`)
      return provider.models.flatMap((model) => modelLine(id, model) ?? [])
    }),
  }
}

function modelLine(provider: string, model: ModelInfo) {
  const given = Array.isArray(model.prices) ? model.prices : [{ prices: model.prices }]
  const rules = given.flatMap((one) => ruleOf(one) ?? [])
  // A model with a price that usage cannot carry would be priced too low: it stays unpriced.
  if (rules.length < given.length) return undefined
  const names = [...new Set([model.id, ...aliases(model.match)].map((name) => name.toLowerCase()))]
  return { provider, model: model.id, names, rules }
}

type Conditional = Exclude<ModelInfo['prices'], Record<string, unknown>>[number]

function ruleOf({ constraint, prices }: Conditional): RuleData | undefined {
  const rule: RuleData = { prices: {}, units: {} }
  for (const [key, value] of Object.entries(prices)) {
    if (value === undefined || UNSEEN.includes(key)) continue
    const name = CLASSES[key]
    const unit = UNITS[key]
    if (name) rule.prices[name] = classPrice(value)
    // Dollars a thousand are milli-dollars each: 10^12 femto-dollars.
    else if (unit && typeof value === 'number') rule.units[unit] = exact(value, 12)
    else return undefined
  }
  if (constraint?.type === 'start_date') rule.from = constraint.start_date
  if (constraint?.type === 'time_of_date') rule.daily = [constraint.start_time, constraint.end_time]
  return rule
}

function classPrice(
  value: number | { base: number; tiers: { start: number; price: number }[] },
): ClassPrice {
  if (typeof value === 'number') return [exact(value, 9)]
  return [
    exact(value.base, 9),
    ...value.tiers.map(({ start, price }): [number, string] => [start, exact(price, 9)]),
  ]
}

/** Dollars a million tokens are 10^9 femto-dollars a token; finer decimals are rounded once, here. */
function exact(value: number, places: number): string {
  return parseDecimal(String(value), places).toString()
}

/** Every text that a rule compares with: matching itself is ours, and stricter. */
function aliases(match: MatchLogic): string[] {
  if ('or' in match) return match.or.flatMap(aliases)
  if ('equals' in match) return [match.equals]
  if ('starts_with' in match) return [match.starts_with]
  if ('contains' in match) return [match.contains]
  if ('ends_with' in match) return [match.ends_with]
  return []
}

export function formatCatalog({ source, models }: CatalogData): string {
  return `{"source":${JSON.stringify(source)},"models":[\n${models.map((model) => JSON.stringify(model)).join(',\n')}\n]}\n`
}

if (import.meta.main)
  writeFileSync(
    new URL('../src/pricing/catalog.json', import.meta.url),
    formatCatalog(buildCatalog()),
  )

import { readFileSync, writeFileSync } from 'node:fs'
import { findProvider, type MatchLogic, type ModelInfo } from '@pydantic/genai-prices'
import type {
  CatalogData,
  ModelData,
  PriceClass,
  PriceData,
  RuleData,
} from '../src/pricing/catalog.ts'
import { TOKEN_CLASSES, type Unit } from '../src/usage.ts'
import { exact, type Supplement, supplementRules, toolData } from './pricing-supplement.ts'

/**
 * Writes `src/pricing/catalog.json` from the data of @pydantic/genai-prices and our own
 * `scripts/pricing-supplement.json`, in exact integers. Run it after a change of either:
 * node scripts/pricing-catalog.ts
 *
 * What cannot be said exactly with the classes of our usage is not said at all: such a model gets a rule
 * that tells why it has no price.
 */
const PACKAGE = '@pydantic/genai-prices'

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

/** Where a slash is a part of the provider's own names. Elsewhere it is a gateway's vendor prefix. */
const SLASHED = ['openrouter', 'groq', 'cerebras', 'fireworks', 'together']

/** https://developers.openai.com/api/docs/models/omni-moderation-latest */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'openai moderation': ['omni-moderation', 'text-moderation'],
}

/** Cut off in the middle of a date or a version. */
const PARTIAL_NAME = /(?:[-@.:_/]|-0|-20\d\d)$/

const CLASSES: Readonly<Record<string, PriceClass>> = {
  input_mtok: 'uncached_input_tokens',
  cache_read_mtok: 'cache_read_tokens',
  cache_write_mtok: 'cache_write_5m_tokens',
  cache_write_1h_mtok: 'cache_write_1h_tokens',
  input_audio_mtok: 'input_audio_tokens',
  input_image_mtok: 'input_image_tokens',
  output_mtok: 'output_tokens',
  output_audio_mtok: 'output_audio_tokens',
  output_image_mtok: 'output_image_tokens',
  output_reasoning_mtok: 'reasoning_tokens',
}

/** Prices for so many units; seconds of audio are priced by the hour. */
const UNITS: Readonly<Record<string, readonly [Unit, per: number]>> = {
  web_searches_kcount: ['web_search', 1_000],
  storage_searches_kcount: ['file_search', 1_000],
  input_audio_hours: ['second', 3_600],
}

/** Our usage does not tell cached audio and images from other cached input: all of it is cache reads. */
const MERGED = ['cache_audio_read_mtok', 'cache_image_read_mtok']

/** What our usage does not count; a model that is billed by it would be priced too low. */
const UNCOUNTED: Readonly<Record<string, string>> = {
  audio_hours: 'it is billed by hours of audio in both directions',
  input_video_mtok: 'its video tokens have a price of their own and are not counted apart',
  output_video_mtok: 'its video tokens have a price of their own and are not counted apart',
  input_document_kpages: 'it is billed by pages',
  input_annotated_document_kpages: 'it is billed by pages',
  input_text_messages_kcount: 'it is billed by messages',
  requests_kcount: 'each request costs a fee that depends on how much is searched',
  output_citation_mtok: 'its citation tokens have a price of their own and are not counted apart',
}

/**
 * Models without a price are free where that is published: Gemma and moderation, and OpenRouter's `:free`
 * variants. https://ai.google.dev/gemini-api/docs/pricing, https://developers.openai.com/api/docs/pricing
 */
const FREE = /^(?:google gemma-3|google gemma-3n|google gemma-4-.+|openai moderation|.*:free)$/

/** Twelfths of a dollar that the package rounds; the exact price is not known, so there is none. */
const INEXACT = new Set([0.08333333333333334])

export function buildCatalog(): CatalogData {
  const manifest = readJson<{ version: string; license: string; homepage: string }>(
    `../node_modules/${PACKAGE}/package.json`,
  )
  const supplement = readJson<Supplement>('./pricing-supplement.json')
  assertKnownModels(supplement)
  return {
    package: PACKAGE,
    version: manifest.version,
    licence: manifest.license,
    homepage: manifest.homepage,
    sources: Object.fromEntries(
      PROVIDERS.map((id) => [id, providerOf(id).pricing_urls?.[0] ?? '']),
    ),
    models: [
      ...PROVIDERS.flatMap((id) =>
        providerOf(id).models.map((model) => modelData(id, model, supplement)),
      ),
      ...supplement.tools.map(toolData),
    ],
  }
}

/** One line a model and one a rule, so that a changed price is a changed line. */
export function formatCatalog({ models, ...header }: CatalogData): string {
  const lines = models.map(({ rules, ...model }) => {
    const start = JSON.stringify(model).slice(0, -1)
    return `${start},"rules":[\n${rules.map((rule) => JSON.stringify(rule)).join(',\n')}]}`
  })
  return `${JSON.stringify(header).slice(0, -1)},"models":[\n${lines.join(',\n')}\n]}\n`
}

function readJson<Shape>(path: string): Shape {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as Shape
}

function providerOf(id: string) {
  const provider = findProvider({ providerId: id })
  if (!provider) throw new Error(`${PACKAGE} has no provider ${id}`)
  return provider
}

/** A rule for a model that was renamed or dropped would vanish without a word. */
function assertKnownModels({ multipliers, inference_geos, unpriced, prices }: Supplement): void {
  const named = [
    ...[...multipliers, ...inference_geos, ...unpriced],
    ...prices.map(({ provider, models }) => ({ provider, models: Object.keys(models) })),
  ]
  for (const { provider, models } of named)
    for (const name of models)
      if (!providerOf(provider).models.some(({ id }) => id === name))
        throw new Error(`pricing-supplement.json: ${provider} has no model ${name}`)
}

function modelData(provider: string, model: ModelInfo, supplement: Supplement): ModelData {
  const names = listNames(provider, model)
  return {
    provider,
    model: model.id,
    names,
    ...supplementRules(provider, model.id, listRules(provider, model), supplement),
  }
}

type Conditional = Exclude<ModelInfo['prices'], Record<string, unknown>>[number]

function listRules(provider: string, { id, prices }: ModelInfo): RuleData[] {
  const given: Conditional[] = Array.isArray(prices) ? prices : [{ prices }]
  const starts = given.map(({ constraint }) =>
    constraint?.type === 'start_date' ? constraint.start_date : undefined,
  )
  return given.map(({ constraint, prices: own }, i) => {
    const from = starts[i]
    const to = starts.slice(i + 1).find((start) => start !== undefined)
    const daily: RuleData['daily'] | undefined =
      constraint?.type === 'time_of_date' ? [constraint.start_time, constraint.end_time] : undefined
    return {
      ...(from ? { from } : {}),
      ...(to && !daily ? { to } : {}),
      ...(daily ? { daily } : {}),
      ...(Object.keys(own).length > 0 ? priceList(own) : noPrice(`${provider} ${id}`)),
    }
  })
}

function noPrice(model: string): RuleData {
  if (!FREE.test(model)) return { unpriced: 'its price is not published' }
  return { prices: Object.fromEntries(TOKEN_CLASSES.map((name) => [name, 0])) }
}

function priceList(own: Conditional['prices']): RuleData {
  const prices: Partial<Record<PriceClass, PriceData>> = {}
  const units: Partial<Record<Unit, [number, number]>> = {}
  const has_seconds = 'input_audio_hours' in own
  for (const [key, value] of Object.entries(own)) {
    const name = CLASSES[key]
    const unit = UNITS[key]
    if (value === undefined || MERGED.includes(key)) continue
    if (key === 'audio_hours' && has_seconds) continue
    if (UNCOUNTED[key]) return { unpriced: UNCOUNTED[key] }
    if (name) {
      if (typeof value === 'number' && INEXACT.has(value)) continue
      prices[name] = priceData(value)
    } else if (unit && typeof value === 'number') units[unit[0]] = [exact(value, 12), unit[1]]
    else throw new Error(`${PACKAGE} has a price that is new to us: ${key}`)
  }
  return { prices, ...(Object.keys(units).length > 0 ? { units } : {}) }
}

function priceData(value: number | { base: number; tiers: { start: number; price: number }[] }) {
  if (typeof value === 'number') return exact(value, 6)
  const tiers = value.tiers.map(({ start, price }): [number, number] => [start, exact(price, 6)])
  return [exact(value.base, 6), ...tiers] as [number, ...[number, number][]]
}

/**
 * The texts that the package's rules compare with, where the package itself takes them for this model.
 * Matching stays ours and stricter: a beginning or a part is a whole name here.
 */
function listNames(provider: string, { id, match }: ModelInfo): string[] {
  const whole = [id, ...textsOf(match, ['equals']), ...(NAMES[`${provider} ${id}`] ?? [])]
  const parts = textsOf(match, ['starts_with', 'ends_with', 'contains'])
  const names = [...whole, ...parts.filter((part) => !PARTIAL_NAME.test(part))]
  return [...new Set(names.map((name) => name.toLowerCase()))].filter((name) => {
    if (name.includes('/') && !SLASHED.includes(provider)) return false
    const taken = providerOf(provider).models.find((model) => matches(model.match, name))
    return taken === undefined ? name === id.toLowerCase() : taken.id === id
  })
}

function textsOf(logic: MatchLogic, kinds: readonly string[]): string[] {
  if ('or' in logic) return logic.or.flatMap((one) => textsOf(one, kinds))
  if ('and' in logic) return logic.and.flatMap((one) => textsOf(one, kinds))
  return Object.entries(logic).flatMap(([kind, text]) => (kinds.includes(kind) ? [text] : []))
}

function matches(logic: MatchLogic, name: string): boolean {
  if ('or' in logic) return logic.or.some((one) => matches(one, name))
  if ('and' in logic) return logic.and.every((one) => matches(one, name))
  if ('regex' in logic) return new RegExp(logic.regex).test(name)
  if ('equals' in logic) return name === logic.equals.toLowerCase()
  if ('starts_with' in logic) return name.startsWith(logic.starts_with.toLowerCase())
  if ('ends_with' in logic) return name.endsWith(logic.ends_with.toLowerCase())
  return name.includes(logic.contains.toLowerCase())
}

if (import.meta.main)
  writeFileSync(
    new URL('../src/pricing/catalog.json', import.meta.url),
    formatCatalog(buildCatalog()),
  )

import { rankByDistance } from '../closest.ts'
import type { Catalog, CatalogModel } from './catalog.ts'

/** Other words for the same vendor, from telemetry conventions and gateways. */
const PROVIDER_ALIASES: Readonly<Record<string, string>> = {
  'gcp.gemini': 'google',
  'gcp.gen_ai': 'google',
  'gcp.vertex_ai': 'google',
  vertex_ai: 'google',
  gemini: 'google',
  'aws.bedrock': 'aws',
  bedrock: 'aws',
  'azure.ai.openai': 'azure',
  'azure.ai.inference': 'azure',
  'az.ai.openai': 'azure',
  mistral_ai: 'mistral',
  x_ai: 'x-ai',
  xai: 'x-ai',
  moonshot_ai: 'moonshotai',
}

/** What a vendor appends to a model's name without changing its price: a date, "latest", a revision. */
const SNAPSHOT = /[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$/
const REVISION = /-v\d+(?::\d+)?$/
/** `claude-opus-5[1m]`: a mode of the client, not a model. */
const MODIFIER = /\[[\w.-]+\]$/

export function modelKey(provider: string, name: string): string {
  return `${provider} ${name}`
}

export function providerId(provider: string): string {
  const lower = provider.toLowerCase()
  return PROVIDER_ALIASES[lower] ?? lower
}

/**
 * The catalog's model of a name, strictly: the name itself, an alias, or either with a dated snapshot.
 * Any other suffix is another model, whose price is not known.
 */
export function findModel(
  catalog: Catalog,
  provider: string,
  name: string,
): CatalogModel | undefined {
  const key = modelKey(provider, name)
  if (catalog.found.has(key)) return catalog.found.get(key)
  const id = providerId(provider)
  const found = spellings(name)
    .map((spelling) => catalog.names.get(modelKey(id, spelling)))
    .find((model) => model !== undefined)
  catalog.found.set(key, found)
  return found
}

function spellings(name: string): string[] {
  const plain = name
    .trim()
    .toLowerCase()
    .replace(MODIFIER, '')
    .replace(/^models\//, '')
  const undated = plain.replace(SNAPSHOT, '')
  const unrevised = plain.replace(REVISION, '')
  return [...new Set([plain, undated, unrevised, unrevised.replace(SNAPSHOT, '')])]
}

/** Known names near a text, for "did you mean". */
export function suggestModels(
  catalog: Catalog,
  provider: string | undefined,
  text: string,
  limit: number,
): string[] {
  const id = provider === undefined ? undefined : providerId(provider)
  const models = [...catalog.names.values()].filter((one) => !id || one.provider === id)
  return rankByDistance(text, [...new Set(models.map(({ model }) => model))], limit)
}

/** Every provider that has the model, for a question that names none. */
export function listModels(catalog: Catalog, name: string): CatalogModel[] {
  const providers = new Set([...catalog.names.values()].map(({ provider }) => provider))
  return [...providers].flatMap((provider) => findModel(catalog, provider, name) ?? [])
}

import { rankByDistance } from '../closest.ts'
import { type Catalog, type CatalogModel, modelOf } from './catalog.ts'
import { findLine, NAME_LENGTH_MAX, providerId } from './spelling.ts'

/**
 * The catalog's model of a name, strictly: the name itself, an alias, or either with a dated snapshot.
 * Any other suffix is another model, whose price is not known.
 */
export function findModel(
  catalog: Catalog,
  provider: string,
  name: string,
): CatalogModel | undefined {
  const line = findLine(catalog.lines, providerId(provider), name)
  return line && modelOf(catalog, line)
}

/** Known names near a text, for "did you mean". */
export function suggestModels(
  catalog: Catalog,
  provider: string | undefined,
  text: string,
  limit: number,
): string[] {
  const id = provider === undefined ? undefined : providerId(provider)
  const models = [...catalog.lines.values()].flatMap(({ data }) =>
    data.model && (!id || data.provider === id) ? [data.model] : [],
  )
  return rankByDistance(text.slice(0, NAME_LENGTH_MAX), [...new Set(models)], limit)
}

/** Every provider that has the model, for a question that names none. */
export function listModels(catalog: Catalog, name: string): CatalogModel[] {
  const providers = new Set([...catalog.lines.values()].map(({ data }) => data.provider))
  return [...providers].flatMap((provider) => findModel(catalog, provider, name) ?? [])
}

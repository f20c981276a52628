import { rankByDistance } from '../closest.ts'
import { globMatcher } from '../glob.ts'
import { listUpstreamKeys } from '../keys/upstream-key.ts'
import type { AnswerParts } from './answer.ts'
import type { Scope } from './scope.ts'

/**
 * A sentence for a scope that nothing known is in, since a name with a slip would be a limit that stops
 * nothing; undefined where something is, and for names that only their users know.
 */
export async function findUnknownScope(
  parts: AnswerParts,
  { kind, value }: Scope,
): Promise<string | undefined> {
  if (kind !== 'provider' && kind !== 'model') return undefined
  const known = await (kind === 'provider' ? listProviders(parts) : listModels(parts))
  if (known.some(globMatcher(value))) return undefined
  const name = value.slice(value.lastIndexOf('/') + 1)
  const [near] = rankByDistance(name, known, 1)
  return `No ${kind} known so far is called "${value}"${near ? ` (closest: ${near})` : ''}: until one is, this counts nothing.`
}

async function listProviders({ db, providers, catalog }: AnswerParts): Promise<string[]> {
  const upstreams = await listUpstreamKeys(db)
  const priced = [...(await catalog()).lines.values()].map(({ data }) => data.provider)
  return [
    ...new Set([
      ...providers.map(({ id }) => id),
      ...upstreams.map(({ provider }) => provider),
      ...priced,
    ]),
  ]
}

/** By the names that requests have: one with a slash is a provider's and a model's, but where it was seen. */
async function listModels({ db, catalog }: AnswerParts): Promise<string[]> {
  const seen = await db.selectFrom('rollup_entry').select('model').distinct().execute()
  const reported = await db.selectFrom('series').select('model').distinct().execute()
  const priced = [...(await catalog()).lines.values()].flatMap(({ data }) => [
    data.model,
    ...data.names,
  ])
  return [
    ...[...seen, ...reported].map(({ model }) => model ?? ''),
    ...priced.filter((name) => !name.includes('/')),
  ]
}

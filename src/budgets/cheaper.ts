import { DAY_MS } from '../clock.ts'
import { modelMatcher } from '../keys/keyring.ts'
import { keyState, type WrappedKey } from '../keys/wrapped-key.ts'
import { type Nanos, usdFromNanos } from '../money.ts'
import { QUARTER_MS } from '../period.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { priceUsage } from '../pricing/price.ts'
import type { Db } from '../store/schema.ts'
import type { Usage } from '../usage.ts'

export type Cheaper = {
  readonly model: string
  readonly expected_usd: string
  readonly saving_percent: number
}

type Than = {
  readonly provider: string
  readonly model: string
  readonly expected: Nanos | null
  readonly usage: Usage
  readonly key: WrappedKey | null
}

const RECENT_MS = 30 * DAY_MS
const CHEAPER_MAX = 3
/** Catalogs also list what makes pictures and speech, what is fine-tuned, and what is long retired. */
const OTHER_USE = /^ft:|-$|audio|computer|embed|image|realtime|search|transcribe|tts|vision/
const GENERATION = /^([a-z]+)[a-z-]*(\d+)?/

/**
 * Models in use here, and open for the key, that would do the same tokens for less, the nearest in price
 * first. Where nothing tells what is in use: of the same family, and no generation that may be gone.
 */
export async function listCheaper(
  db: Db,
  catalog: Catalog,
  { provider, model, expected, usage, key }: Than,
  now: number,
): Promise<Cheaper[]> {
  if (expected === null || expected === 0n) return []
  const used = await db
    .selectFrom('rollup_entry')
    .select(['provider', 'model'])
    .distinct()
    .where('quarter', '>=', Math.floor((now - RECENT_MS) / QUARTER_MS))
    .limit(200)
    .execute()
  const siblings = [...catalog.lines.values()]
    .filter(({ data }) => data.provider === provider && isSuccessor(data.model, model))
    .map(({ data }) => ({ provider, model: data.model }))
  const candidates = used.length > 1 ? used : siblings
  const own = priceOf(catalog, { provider, model, usage, now }) ?? expected
  const seen = new Set<string>([model])
  return candidates
    .flatMap((one) => {
      if (seen.has(one.model) || (key && reasonClosed(key, one, now) !== null)) return []
      seen.add(one.model)
      const cost = priceOf(catalog, { ...one, usage, now })
      return cost === null || cost === 0n || cost >= own ? [] : [{ model: one.model, cost }]
    })
    .sort((a, b) => (a.cost > b.cost ? -1 : 1))
    .slice(0, CHEAPER_MAX)
    .map(({ model: name, cost }) => ({
      model: name,
      expected_usd: usdFromNanos(cost),
      saving_percent: Number(((own - cost) * 100n) / own),
    }))
}

function isSuccessor(candidate: string, model: string): boolean {
  const [, family, generation = '0'] = GENERATION.exec(candidate) ?? []
  const [, own_family, own_generation = '0'] = GENERATION.exec(model.toLowerCase()) ?? []
  return (
    family === own_family &&
    Number(generation) >= Number(own_generation) &&
    !OTHER_USE.test(candidate)
  )
}

/** Why the proxy would refuse the key, whatever its budgets leave; null where it would not. */
export function reasonClosed(
  key: WrappedKey,
  { provider, model }: { provider: string; model: string },
  now: number,
): string | null {
  const state = keyState(key, now)
  const is_open = key.providers.includes(provider) && modelMatcher(key.models)(provider, model)
  if (state === 'active' && is_open) return null
  if (state !== 'active') return `The key "${key.name}" is ${state}: the proxy would refuse it.`
  const models = key.models.length === 0 ? '' : ` (${key.models.join(', ')})`
  return `The key "${key.name}" opens ${key.providers.join(', ')}${models}: the proxy would refuse ${provider}/${model}.`
}

type Priceable = {
  readonly provider: string
  readonly model: string
  readonly usage: Usage
  readonly now: number
  readonly service_tier?: string
  readonly inference_geo?: string
}

export function priceOf(
  catalog: Catalog,
  { provider, model, usage, now, service_tier, inference_geo }: Priceable,
): Nanos | null {
  return priceUsage(catalog, {
    provider,
    model,
    at: now,
    service_tier: service_tier ?? null,
    inference_geo: inference_geo ?? null,
    speed: null,
    is_single_request: true,
    usage,
  }).cost_nanos
}

import { sha256 } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { type Nanos, nanosFromUsd } from '../money.ts'
import { TOKEN_CLASSES, type Usage } from '../usage.ts'
import { findNumber, findText, type Item, textNamed } from './attributes.ts'
import type { Attribution } from './attribution.ts'
import type { Client, RequestMap } from './clients/client.ts'
import { msOf } from './instant.ts'
import { providerOf } from './provider-of.ts'
import { type Malformed, readUsage } from './usage.ts'

const NANOS_PER_MICRO = 1_000n
const SERVICE_TIER = [
  'service_tier',
  'gen_ai.openai.response.service_tier',
  'openai.response.service_tier',
]

export type Observed = {
  readonly item: Item
  readonly client: Client
  readonly map: RequestMap
  readonly signal: 'logs' | 'spans'
  readonly at: number
  /** What the source itself has for the item's identity: ids of a span, or the time of a record. */
  readonly source_id: readonly string[]
  /** The item's own time, or 0n. */
  readonly source_ns: bigint
  /** Whether `source_id` alone tells any two items apart. */
  readonly is_identified: boolean
  readonly attribution: Attribution
  /** The id of the answer, where not the item but its twin tells it. */
  readonly answer_id?: string | undefined
}

/** The request that an item of a client tells of. */
export function readRequest(observed: Observed): UsageEvent | Malformed {
  const { item, client, map, signal, at, attribution } = observed
  const usage = readUsage(item, map.usage)
  if ('malformed' in usage) return usage
  const model = findText(item, map.model) ?? ''
  const { names_user: _, ...whose } = attribution
  return {
    ...whose,
    id: identityOf(observed, usage),
    source: 'otlp',
    signal,
    provider: providerOf(item, model, client.provider),
    model,
    occurred_at: at,
    request_id: (map.request_id && findText(item, map.request_id)) ?? null,
    response_id: (map.response_id && findText(item, map.response_id)) ?? observed.answer_id ?? null,
    is_fallback: map.is_fallback ?? false,
    service_tier: findText(item, SERVICE_TIER) ?? null,
    speed: findText(item, ['speed']) === 'fast' ? 'fast' : null,
    usage: map.is_sum ? { ...usage, requests: null } : usage,
    reported_cost_nanos: readCost(item, map, usage),
  }
}

function identityOf(
  { item, map, source_id, source_ns, ...observed }: Observed,
  usage: Usage,
): string {
  const { client, attribution, is_identified } = observed
  const prefix = client.id ?? attribution.client ?? 'otlp'
  if (is_identified) return `${prefix}:${sha256(...source_id)}`
  const last = map.identity.at(-1) ?? []
  const names = map.identity.find((all) => all.every((name) => textNamed(item, name))) ?? last
  const values = names.map((name) => textNamed(item, name) ?? '')
  if (names !== last) return `${prefix}:${sha256(...names, ...values)}`
  const counts = TOKEN_CLASSES.map((name) => String(usage[name]))
  const told = [...names, ...values, ...source_id, ...counts, String(usage.reasoning_tokens)]
  // Ids that grow with time fill one page of the index after another instead of one page each.
  return `${prefix}:${msOf(source_ns).toString(36)}-${sha256(...told)}`
}

/** A client that reports nothing for tokens does not know the price: that is no cost of zero. */
function readCost(item: Item, { cost_micros, cost_usd }: RequestMap, usage: Usage): Nanos | null {
  const micros = cost_micros && findNumber(item, cost_micros)
  const nanos =
    micros !== undefined && Number.isSafeInteger(micros)
      ? BigInt(micros) * NANOS_PER_MICRO
      : nanosOf(cost_usd && findNumber(item, cost_usd))
  const has_tokens = TOKEN_CLASSES.some((name) => usage[name] > 0)
  return nanos === null || nanos < 0n || (nanos === 0n && has_tokens) ? null : nanos
}

function nanosOf(usd: number | undefined): Nanos | null {
  return usd !== undefined && Number.isFinite(usd) && usd < 1e9 ? nanosFromUsd(usd) : null
}

import { sha256 } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { type Nanos, nanosFromUsd } from '../money.ts'
import { TOKEN_CLASSES, type Usage } from '../usage.ts'
import { findNumber, findText, findValue, type Item } from './attributes.ts'
import type { Attribution } from './attribution.ts'
import type { Client, RequestMap } from './clients/client.ts'
import { providerOfModel } from './provider-of.ts'
import { type Malformed, readUsage } from './usage.ts'

const NANOS_PER_MICRO = 1_000n
const PROVIDER = ['gen_ai.provider.name', 'gen_ai.system', 'llm.provider', 'ai.model.provider']
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
  readonly attribution: Attribution
}

/** The request that an item of a client tells of. */
export function readRequest(observed: Observed): UsageEvent | Malformed {
  const { item, client, map, signal, at, attribution } = observed
  const usage = readUsage(item, map.usage)
  if ('malformed' in usage) return usage
  const model = findText(item, map.model) ?? ''
  return {
    ...attribution,
    id: identityOf(observed, usage),
    source: 'otlp',
    signal,
    provider: providerOf(item, client, model),
    model,
    occurred_at: at,
    request_id: (map.request_id && findText(item, map.request_id)) ?? null,
    service_tier: findText(item, SERVICE_TIER) ?? null,
    speed: findText(item, ['speed']) === 'fast' ? 'fast' : null,
    usage,
    reported_cost_nanos: readCost(item, map, usage),
  }
}

/** Whether an item of this name is what the map reads. */
export function isOf(item: Item, name: string, { names, where, needs }: RequestMap): boolean {
  if (names && !names.includes(name)) return false
  for (const [key, values] of Object.entries(where ?? {}))
    if (!values.includes(String(item.attributes[key] ?? ''))) return false
  return needs === undefined || findValue(item, needs) !== undefined
}

function identityOf({ item, map, attribution, source_id, client }: Observed, usage: Usage): string {
  const full = map.identity.find((names) => names.every((name) => findText(item, [name])))
  const is_exact = full !== undefined && full !== map.identity.at(-1)
  const names = full ?? map.identity.at(-1) ?? []
  const values = names.map((name) => findText(item, [name]) ?? '')
  const counts = TOKEN_CLASSES.map((name) => String(usage[name]))
  const rest = is_exact ? [] : [...source_id, ...counts, String(usage.reasoning_tokens)]
  return `${client.id ?? attribution.client ?? 'otlp'}:${sha256(...names, ...values, ...rest)}`
}

function providerOf(item: Item, client: Client, model: string): string {
  return findText(item, PROVIDER) ?? providerOfModel(model) ?? client.provider
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

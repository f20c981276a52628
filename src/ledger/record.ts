import { sql } from 'kysely'
import type { Nanos } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { priceUsage } from '../pricing/price.ts'
import { type Cell, insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import { TOKEN_CLASSES, type Usage } from '../usage.ts'
import type { UsageEvent } from './event.ts'

const COLUMNS = [
  'id',
  'source',
  'signal',
  'client',
  'provider',
  'model',
  'occurred_at',
  'session_id',
  'request_id',
  'user',
  'project',
  'billing_mode',
  'service_tier',
  'speed',
  ...TOKEN_CLASSES,
  'reasoning_tokens',
  'requests',
  'unit',
  'units',
  'cost_nanos',
  'price_rule',
  'unpriced_reason',
  'reported_cost_nanos',
  'tags',
  'quality',
  'recorded_at',
]

/**
 * Books events as ledger entries, on disk when it returns. An event that is there already changes
 * nothing, so the same batch may come any number of times, split and ordered in any way.
 */
export async function recordEvents(
  db: Db,
  catalog: Catalog,
  events: readonly UsageEvent[],
  recorded_at: number,
): Promise<{ recorded: number; duplicates: number }> {
  if (events.length === 0) return { recorded: 0, duplicates: 0 }
  const rows = events.map((event) => entryRow(catalog, event, recorded_at))
  const recorded = await db
    .transaction()
    .execute((trx) =>
      insertRows(trx, 'ledger_entry', COLUMNS, rows, sql`on conflict (id) do nothing`),
    )
  return { recorded, duplicates: events.length - recorded }
}

function entryRow(catalog: Catalog, event: UsageEvent, recorded_at: number): Cell[] {
  const { usage } = event
  const cost = priceEvent(catalog, event)
  return [
    event.id,
    event.source,
    event.signal,
    event.client,
    event.provider,
    event.model,
    event.occurred_at,
    event.session_id,
    event.request_id,
    event.user,
    event.project,
    event.billing_mode,
    event.service_tier,
    event.speed,
    ...TOKEN_CLASSES.map((name) => usage[name]),
    usage.reasoning_tokens,
    usage.requests,
    usage.unit,
    usage.units,
    cost.nanos,
    cost.rule,
    cost.unpriced_reason,
    event.reported_cost_nanos,
    JSON.stringify(event.tags),
    event.quality ?? null,
    recorded_at,
  ]
}

export type EventCost =
  | { readonly nanos: Nanos; readonly rule: string; readonly unpriced_reason: null }
  | { readonly nanos: null; readonly rule: null; readonly unpriced_reason: string }

/**
 * What the source itself reports goes first: it knows what telemetry leaves out, such as how long a
 * cache write lives. Otherwise the price in force at the event.
 */
export function priceEvent(catalog: Catalog, event: UsageEvent): EventCost {
  if (event.reported_cost_nanos !== null)
    return { nanos: event.reported_cost_nanos, rule: 'reported', unpriced_reason: null }
  if (event.quality === 'missing')
    return { nanos: null, rule: null, unpriced_reason: 'the usage of this request is not known' }
  if (event.quality === 'exact' && isNothing(event.usage))
    return { nanos: 0n, rule: 'not_billed', unpriced_reason: null }
  const priced = priceUsage(catalog, {
    provider: event.provider,
    model: event.model,
    at: event.occurred_at,
    service_tier: event.service_tier,
    speed: event.speed,
    inference_geo: event.inference_geo ?? null,
    is_single_request: true,
    usage: event.usage,
  })
  return priced.cost_nanos === null
    ? { nanos: null, rule: null, unpriced_reason: priced.reason }
    : { nanos: priced.cost_nanos, rule: priced.rule_id, unpriced_reason: null }
}

/** Refused, or free: what uses nothing costs nothing, whatever the model. */
function isNothing(usage: Usage): boolean {
  return usage.units === 0 && TOKEN_CLASSES.every((name) => usage[name] === 0)
}

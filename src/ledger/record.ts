import { sql } from 'kysely'
import type { Nanos } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { type Priced, priceUsage } from '../pricing/price.ts'
import { type Cell, insertRows } from '../store/columns.ts'
import type { Statements } from '../store/driver.ts'
import type { Db } from '../store/schema.ts'
import { TOKEN_CLASSES, type Usage } from '../usage.ts'
import { decideCounting, precedenceOf } from './counting.ts'
import { addToRollups, listCountables } from './entry-rollup.ts'
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
  'list_nanos',
  'tags',
  'quality',
  'recorded_at',
  'replaces',
  'inference_geo',
  'precedence',
  'response_id',
  'origin',
  'wrapped_key',
  'workspace',
  'is_held',
]

/** The precedence of an entry whose writer could not wait: `settlePending` decides whether it counts. */
const PENDING = 0

/** What became of events; `fresh` are the ids that were not there before. */
export type Recorded = {
  readonly recorded: number
  readonly duplicates: number
  readonly fresh: ReadonlySet<string>
}

/**
 * Books events as ledger entries, on disk when it returns or with the caller's transaction. An event
 * that is there already changes nothing, so the same batch may come any number of times, split and
 * ordered in any way. Which entries count, and their rollups, are settled in the same transaction.
 */
export async function recordEvents(
  db: Db,
  catalog: Catalog,
  events: readonly UsageEvent[],
  recorded_at: number,
): Promise<Recorded> {
  if (events.length === 0) return { recorded: 0, duplicates: 0, fresh: new Set() }
  const record = async (trx: Db) => {
    const fresh = await listFresh(trx, events)
    await insertFresh(trx, catalog, fresh, recorded_at)
    const ids = new Set(fresh.map(({ id }) => id))
    return { recorded: ids.size, duplicates: events.length - ids.size, fresh: ids }
  }
  return db.isTransaction ? record(db) : db.transaction().execute(record)
}

/** Each event once, without those that are booked. */
async function listFresh(trx: Db, events: readonly UsageEvent[]): Promise<UsageEvent[]> {
  const unique = new Map<string, UsageEvent>()
  for (const event of events) if (!unique.has(event.id)) unique.set(event.id, event)
  const { rows } = await sql<{ id: string }>`
    select id from ledger_entry
    where id in (select value from json_each(${JSON.stringify([...unique.keys()])}))`.execute(trx)
  for (const { id } of rows) unique.delete(id)
  return [...unique.values()]
}

async function insertFresh(
  trx: Db,
  catalog: Catalog,
  fresh: readonly UsageEvent[],
  recorded_at: number,
): Promise<void> {
  if (fresh.length === 0) return
  const booked = fresh.map((event) => bookedEntry(catalog, event))
  await insertRows(
    trx,
    'ledger_entry',
    COLUMNS,
    booked.map((entry) => entryRow(entry, recorded_at)),
  )
  const { superseded, displaced } = await decideCounting(trx, fresh)
  const counted = booked.filter(({ event }) => !superseded.has(event.id))
  await addToRollups(
    trx,
    counted.map(({ event, tags, cost }) => ({ ...event, tags, cost_nanos: cost.nanos })),
    1n,
  )
  await addToRollups(trx, await listCountables(trx, displaced), -1n)
}

/**
 * Books one event on a connection that is in a transaction already, as `recordEvents` does; tells
 * whether it is new. For the proxy, whose entries are written one by one between other statements.
 */
export function createRecorder(
  { prepare }: Pick<Statements, 'prepare'>,
  catalog: Catalog,
): (event: UsageEvent, recorded_at: number, is_held: boolean) => boolean {
  const places = COLUMNS.map(() => '?').join(', ')
  const insert = prepare(
    `insert into ledger_entry (${COLUMNS.join(', ')}) values (${places}) on conflict (id) do nothing`,
  )
  return (event, recorded_at, is_held) => {
    const row = entryRow(bookedEntry(catalog, event), recorded_at, PENDING, is_held)
    return Number(insert.run(...row).changes) > 0
  }
}

type BookedEntry = {
  readonly event: UsageEvent
  readonly tags: string
  readonly cost: EventCost
  readonly list_nanos: Nanos | null
}

function bookedEntry(catalog: Catalog, event: UsageEvent): BookedEntry {
  const priced = listPrice(catalog, event)
  return {
    event,
    tags: JSON.stringify(event.tags),
    cost: costOf(event, priced),
    list_nanos: priced.cost_nanos,
  }
}

function entryRow(
  { event, tags, cost, list_nanos }: BookedEntry,
  recorded_at: number,
  precedence = precedenceOf(event),
  is_held = false,
): Cell[] {
  const { usage } = event
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
    list_nanos,
    tags,
    event.quality ?? null,
    recorded_at,
    event.replaces ?? null,
    event.inference_geo ?? null,
    precedence,
    event.response_id ?? null,
    event.origin ?? null,
    event.wrapped_key ?? null,
    event.workspace ?? null,
    Number(is_held),
  ]
}

export type EventCost =
  | { readonly nanos: Nanos; readonly rule: string; readonly unpriced_reason: null }
  | { readonly nanos: null; readonly rule: null; readonly unpriced_reason: string }

/**
 * What the source itself reports goes first: it knows what telemetry leaves out, such as how long a
 * cache write lives. Otherwise the price in force at the event.
 */
function costOf({ reported_cost_nanos, quality, usage }: UsageEvent, priced: Priced): EventCost {
  if (reported_cost_nanos !== null)
    return { nanos: reported_cost_nanos, rule: 'reported', unpriced_reason: null }
  if (quality === 'missing')
    return { nanos: null, rule: null, unpriced_reason: 'the usage of this request is not known' }
  if (quality === 'exact' && isNothing(usage))
    return { nanos: 0n, rule: 'not_billed', unpriced_reason: null }
  return priced.cost_nanos === null
    ? { nanos: null, rule: null, unpriced_reason: priced.reason }
    : { nanos: priced.cost_nanos, rule: priced.rule_id, unpriced_reason: null }
}

/** What an event costs, as it will be booked. */
export function priceEvent(catalog: Catalog, event: UsageEvent): EventCost {
  return costOf(event, listPrice(catalog, event))
}

function listPrice(catalog: Catalog, event: UsageEvent): Priced {
  return priceUsage(catalog, {
    provider: event.provider,
    model: event.model,
    at: event.occurred_at,
    service_tier: event.service_tier,
    speed: event.speed,
    inference_geo: event.inference_geo ?? null,
    is_single_request: event.usage.requests !== null,
    usage: event.usage,
  })
}

/** Refused, or free: what uses nothing costs nothing, whatever the model. */
function isNothing(usage: Usage): boolean {
  return usage.units === 0 && TOKEN_CLASSES.every((name) => usage[name] === 0)
}

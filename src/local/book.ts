import type { FolderEnv } from '../config.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { withForwardedIds } from '../ledger/forwarded.ts'
import { recordEvents } from '../ledger/record.ts'
import { reviseEvents } from '../ledger/replacement.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { priceUsage } from '../pricing/price.ts'
import type { Db } from '../store/schema.ts'
import { type ClientId, SESSIONLESS } from './client.ts'
import type { ProjectNames } from './project.ts'

export type ImportDeps = {
  readonly db: Db
  /** A rehearsal books into a store of its own, and counts as new what this one does not have. */
  readonly known?: Db
  readonly catalog: Catalog
  readonly env: FolderEnv
  readonly project_names: ProjectNames
  /** A log does not say who pays for it. */
  billingMode(client: ClientId): UsageEvent['billing_mode']
  now(): number
  /** When the folders were looked at is told in real time, since it says when to look again. */
  wallNow(): number
  readonly signal: AbortSignal
  /** Lines longer than this are left out; set only by tests. */
  readonly line_bytes_max?: number
}

export type Counts = {
  /** Files of the client, and how many of them were read because they changed. */
  files: number
  files_read: number
  files_failed: number
  requests: number
  /** Requests that were known and now say more. */
  requests_revised: number
  /** Times that a request was told again without saying more. */
  repeats: number
  /** Lines that are no JSON, too long, or not what they say they are. */
  rejected_lines: number
}

export function noCounts(): Counts {
  return {
    files: 0,
    files_read: 0,
    files_failed: 0,
    requests: 0,
    requests_revised: 0,
    repeats: 0,
    rejected_lines: 0,
  }
}

/** Books events of one file; on disk when it returns. */
export async function bookEvents(
  { db, known, catalog, now }: Pick<ImportDeps, 'db' | 'known' | 'catalog' | 'now'>,
  events: readonly UsageEvent[],
  counts: Counts,
): Promise<void> {
  if (events.length === 0) return
  const { fresh, revised } = await reviseEvents(db, events)
  const counted = known ? await reviseEvents(known, fresh) : { fresh, revised }
  const identified = await identifyForwarded(db, [...fresh, ...revised])
  const priced = identified.map((event) => withOwnPrice(catalog, event))
  await recordEvents(db, catalog, priced, now())
  counts.requests += counted.fresh.length
  counts.requests_revised += counted.revised.length
  counts.repeats += events.length - counted.fresh.length - counted.revised.length
}

/** The proxy may have forwarded the same requests: others are matched by their session. */
async function identifyForwarded(db: Db, events: readonly UsageEvent[]): Promise<UsageEvent[]> {
  const { sessionless = [], others = [] } = Object.groupBy(events, ({ client }) =>
    SESSIONLESS.has(client) ? 'sessionless' : 'others',
  )
  return [...others, ...(await withForwardedIds(db, sessionless))]
}

/** A log has all that a price depends on, so what the client reckoned counts only where we know none. */
function withOwnPrice(catalog: Catalog, event: UsageEvent): UsageEvent {
  if (event.reported_cost_nanos === null) return event
  const own = priceUsage(catalog, { ...event, at: event.occurred_at, is_single_request: true })
  return own.cost_nanos === null ? event : { ...event, reported_cost_nanos: null }
}

import { type RawBuilder, sql } from 'kysely'
import { HOUR_MS, MINUTE_MS } from '../clock.ts'
import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { UsageEvent } from './event.ts'

/**
 * Ranks of sources. Of all entries that saw the same request the highest counts; the others stay and
 * name what counts instead.
 */
export const PRECEDENCE = {
  proxy: 50,
  otlp: 40,
  otlp_fallback: 30,
  otlp_metrics: 20,
  local_log: 10,
} as const

/** Metrics may arrive before the better source of their session: they count when that had its time. */
export const GRACE_MS = 3 * MINUTE_MS

/** What the rule asks of an entry. */
export type Seen = Pick<
  UsageEvent,
  | 'id'
  | 'source'
  | 'client'
  | 'occurred_at'
  | 'session_id'
  | 'request_id'
  | 'response_id'
  | 'origin'
  | 'user'
  | 'is_fallback'
> & { readonly replaces?: string | null }

export function precedenceOf({
  source,
  is_fallback,
}: Pick<Seen, 'source' | 'is_fallback'>): number {
  return is_fallback ? PRECEDENCE.otlp_fallback : PRECEDENCE[source]
}

const PROXY = sql`('proxy')`
const OTHERS = sql`('otlp', 'local_log')`
const BETTER = sql`(other.precedence > entry.precedence
  or (other.precedence = entry.precedence and other.id < entry.id))
  and not exists (select 1 from ledger_entry newer where newer.replaces = other.id)`

/** Sources tell when a request began or when it ended, and none takes longer. */
const SAME_REQUEST_MS = sql.lit(2 * HOUR_MS)
/** An id that more entries share in that time identifies nothing: some servers have but one. */
const SHARING_MAX = 16

/**
 * The rule, and its only place. An entry that another one replaces, because it says more of the same
 * request, never counts. Two entries saw the same request when they share the id of the request or of
 * its answer and are near in time: there are servers that give an id again. Where one of the two knows
 * no id, they saw the same requests when they share client and session. What counts is the entry with
 * the highest rank, of equals the one with the smaller id; but what the proxy forwarded and what was
 * billed beside it are never told twice, whatever ids a server gives.
 */
const SUPERSEDED_BY = sql<string | null>`coalesce(
  (select newer.id from ledger_entry newer where newer.replaces = entry.id),
  (select other.id from (${sharing('request_id', PROXY)} union ${sharing('response_id', PROXY)}) other
    where ${BETTER} order by other.id limit 1),
  (select other.id from (select *, count(*) over () as shared from
      (${sharing('request_id', OTHERS)} union ${sharing('response_id', OTHERS)})) other
    where shared <= ${sql.lit(SHARING_MAX)} and ${BETTER}
    order by other.precedence desc, other.id limit 1),
  (select 'session' from telling
    where telling.client = entry.client and telling.scope = 'session:' || entry.session_id
      and telling.precedence > entry.precedence
      and (telling.is_identified = 0
        or (entry.request_id is null and entry.response_id is null)) limit 1))`

/**
 * Entries of some sources that share an id with `entry`, itself among them; no more than tell whether
 * there are too many. A lookup of one column, so that the index alone answers it.
 */
function sharing(column: 'request_id' | 'response_id', sources: RawBuilder<unknown>) {
  return sql`select * from (select same.id, same.precedence from ledger_entry same
    where entry.source <> 'proxy'
      and ${sql.ref(`same.${column}`)} in (entry.request_id, entry.response_id)
      and same.source in ${sources}
      and same.occurred_at between entry.occurred_at - ${SAME_REQUEST_MS}
        and entry.occurred_at + ${SAME_REQUEST_MS}
    limit ${sql.lit(SHARING_MAX + 1)})`
}

/** What came to count and what no longer does, by id. */
export type Changes = { readonly superseded: Set<string>; readonly displaced: string[] }

/** Decides for entries just inserted, and anew for those that they may displace. */
export function decideCounting(trx: Db, fresh: readonly Seen[]): Promise<Changes> {
  return settleCounting(trx, fresh, fresh.flatMap(tellingsOf))
}

/**
 * As `decideCounting`, for all that has begun to tell of a session. An entry without a precedence is in
 * no total yet: it is decided when `settlePending` gives it one.
 */
export async function settleCounting(
  trx: Db,
  fresh: readonly Seen[],
  tellings: readonly Telling[],
): Promise<Changes> {
  const outranked = await addTellings(trx, tellings)
  const affected = [
    // What was forwarded counts, come what may.
    ...fresh
      .filter(({ source }) => source !== 'proxy')
      .flatMap(({ id, replaces }) => (replaces ? [id, replaces] : [id])),
    ...(await listSharing(trx, fresh)),
    ...(await listOutranked(trx, outranked)),
  ]
  const { rows } = await sql<{ id: string; was: string | null; is: string | null }>`
    with decided as materialized (
      select entry.id, entry.superseded_by as was, ${SUPERSEDED_BY} as "is" from ledger_entry entry
      where entry.id in (select value from json_each(${JSON.stringify(affected)}))
        and entry.precedence > 0)
    select * from decided where was is not "is"`.execute(trx)
  await writeDecisions(trx, rows)
  const is_fresh = new Set(fresh.map(({ id }) => id))
  return {
    superseded: new Set(rows.filter(({ id }) => is_fresh.has(id)).map(({ id }) => id)),
    displaced: rows.filter(({ id, was }) => !is_fresh.has(id) && was === null).map(({ id }) => id),
  }
}

/** Drops the projection and makes it again from the entries alone. */
export async function rebuildCounting(trx: Db): Promise<void> {
  await trx.deleteFrom('telling').execute()
  const is_identified = sql`request_id is not null or response_id is not null`
  const hour = sql`(occurred_at / ${sql.lit(HOUR_MS)})`
  await sql`
    insert into telling
    select client, 'session:' || session_id, precedence, ${is_identified}, count(*)
      from ledger_entry where client is not null and session_id is not null group by 1, 2, 3, 4
    union all
    select client, 'sender:' || origin || ':' || ${hour}, precedence, ${is_identified}, count(*)
      from ledger_entry where client is not null and origin is not null group by 1, 2, 3, 4
    union all
    select client, 'user:' || user || ':' || ${hour}, precedence, ${is_identified}, count(*)
      from ledger_entry where client is not null and origin is not null and user is not null
      group by 1, 2, 3, 4
    union all
    select client, 'local:' || ${hour}, precedence, ${is_identified}, count(*)
      from ledger_entry where client is not null and source = 'local_log' group by 1, 2, 3, 4
    union all
    select client, 'session:' || session_id, ${sql.lit(PRECEDENCE.otlp_metrics)}, 0, count(*)
      from fallback_entry where session_id is not null group by 1, 2, 3, 4`.execute(trx)
  await sql`
    update ledger_entry set superseded_by = (
      select ${SUPERSEDED_BY} from ledger_entry entry where entry.id = ledger_entry.id)`.execute(
    trx,
  )
}

type Telling = {
  readonly client: string
  readonly scope: string
  readonly precedence: number
  readonly is_identified: 0 | 1
}

/**
 * The session, and the hour of the sender, or of this machine's own logs: metrics of some clients name
 * no session.
 */
function tellingsOf(event: Seen): Telling[] {
  const { client, source, session_id, origin, user, request_id, response_id = null } = event
  if (client === null) return []
  const is_identified = request_id !== null || response_id !== null ? 1 : 0
  const base = { client, precedence: precedenceOf(event), is_identified } as const
  const hour = Math.floor(event.occurred_at / HOUR_MS)
  const scopes = [
    session_id !== null && `session:${session_id}`,
    origin && `sender:${origin}:${hour}`,
    origin && user !== null && `user:${user}:${hour}`,
    source === 'local_log' && `local:${hour}`,
  ]
  return scopes.flatMap((scope) => (scope ? [{ ...base, scope }] : []))
}

/** Returns the sessions that a source told of for the first time while lower ones had before. */
async function addTellings(trx: Db, tellings: readonly Telling[]): Promise<Telling[]> {
  const counts = new Map<string, { telling: Telling; entries: number }>()
  for (const telling of tellings) {
    const { client, scope, precedence, is_identified } = telling
    const key = JSON.stringify([client, scope, precedence, is_identified])
    const count = counts.get(key) ?? { telling, entries: 0 }
    count.entries += 1
    counts.set(key, count)
  }
  const rows = [...counts.values()].map(({ telling, entries }) => [
    telling.client,
    telling.scope,
    telling.precedence,
    telling.is_identified,
    entries,
  ])
  await insertRows(
    trx,
    'telling',
    ['client', 'scope', 'precedence', 'is_identified', 'entries'],
    rows,
    sql`on conflict do update set entries = entries + excluded.entries`,
  )
  const { rows: first } = await sql<Telling>`
    select telling.client, telling.scope, telling.precedence, telling.is_identified
    from json_each(${JSON.stringify(rows)}) told join telling
      on telling.client = told.value ->> 0 and telling.scope = told.value ->> 1
      and telling.precedence = told.value ->> 2 and telling.is_identified = told.value ->> 3
    where telling.entries = told.value ->> 4 and telling.scope like 'session:%'
      and exists (select 1 from telling lower where lower.client = telling.client
        and lower.scope = telling.scope and lower.precedence < telling.precedence)`.execute(trx)
  return first
}

/** Entries that the fresh ones may displace: those of other sources than the proxy that share an id. */
async function listSharing(trx: Db, fresh: readonly Seen[]): Promise<string[]> {
  const told = fresh.flatMap(({ request_id, response_id = null, occurred_at }) =>
    [request_id, response_id].filter((id) => id !== null).map((id) => ({ id, occurred_at })),
  )
  if (told.length === 0) return []
  const near = sql`entry.occurred_at between first_at - ${SAME_REQUEST_MS} and last_at + ${SAME_REQUEST_MS}`
  const { rows } = await sql<{ id: string }>`
    with told as materialized (
      select value ->> 'id' as id, min(value ->> 'occurred_at') as first_at,
        max(value ->> 'occurred_at') as last_at
      from json_each(${JSON.stringify(told)}) group by 1)
    select entry.id from told join ledger_entry entry on entry.request_id = told.id
      where entry.source in ${OTHERS} and ${near}
    union
    select entry.id from told join ledger_entry entry on entry.response_id = told.id
      where entry.source in ${OTHERS} and ${near}`.execute(trx)
  return rows.map(({ id }) => id)
}

/** Entries of lower rank in sessions that a higher one has begun to tell of. */
async function listOutranked(trx: Db, tellings: readonly Telling[]): Promise<string[]> {
  if (tellings.length === 0) return []
  const { rows } = await sql<{ id: string }>`
    select entry.id from json_each(${JSON.stringify(tellings)}) told join ledger_entry entry
      on entry.session_id = substr(told.value ->> 'scope', ${sql.lit('session:'.length + 1)})
      and entry.client = told.value ->> 'client'
    where entry.precedence < told.value ->> 'precedence'`.execute(trx)
  return rows.map(({ id }) => id)
}

async function writeDecisions(
  trx: Db,
  decisions: readonly { id: string; is: string | null }[],
): Promise<void> {
  if (decisions.length === 0) return
  await sql`
    update ledger_entry set superseded_by = decided.value ->> 'is'
    from json_each(${JSON.stringify(decisions)}) decided
    where ledger_entry.id = decided.value ->> 'id'`.execute(trx)
}

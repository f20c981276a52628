import { sql } from 'kysely'
import { MINUTE_MS } from '../clock.ts'
import type { Db } from '../store/schema.ts'
import type { UsageEvent } from './event.ts'

/** From the sending of a request to what its client writes of the answer, and what clocks may differ. */
const BEFORE_MS = 15 * MINUTE_MS
const AFTER_MS = MINUTE_MS

const COUNTS = [
  'uncached_input_tokens',
  'cache_read_tokens',
  'output_tokens',
  'reasoning_tokens',
] as const

/**
 * Events of a source that knows no ids, each with the id of the answer that the proxy saw, where it is the
 * same request: of the same client at the same time, with the same counts, and without a session to match
 * them by. A client writes of an answer after the proxy has booked it, so that looking once is enough.
 */
export async function withForwardedIds(
  db: Db,
  events: readonly UsageEvent[],
): Promise<readonly UsageEvent[]> {
  const nameless = events.filter((event) => event.request_id === null && !event.response_id)
  if (nameless.length === 0) return events
  const candidates = Map.groupBy(await listForwarded(db, nameless), ({ id }) => id)
  const taken = new Set<string>()
  return events.map((event) => {
    const found = candidates.get(event.id)?.find(({ response_id }) => !taken.has(response_id))
    if (!found) return event
    taken.add(found.response_id)
    return { ...event, response_id: found.response_id }
  })
}

/** The nearest in time first. */
async function listForwarded(
  db: Db,
  events: readonly UsageEvent[],
): Promise<{ id: string; response_id: string }[]> {
  const wanted = events.map(({ id, client, provider, occurred_at, usage, replaces }) => [
    id,
    replaces ?? id,
    client,
    provider,
    occurred_at - BEFORE_MS,
    occurred_at + AFTER_MS,
    ...COUNTS.map((name) => usage[name]),
  ])
  const told = (i: number) => sql`told.value ->> ${sql.lit(i)}`
  const counts = COUNTS.map((name, i) => sql`${sql.ref(`entry.${name}`)} = ${told(i + 6)}`)
  const { rows } = await sql<{ id: string; response_id: string }>`
    select ${told(0)} as id, entry.response_id
    from json_each(${JSON.stringify(wanted)}) told join ledger_entry entry
      on entry.occurred_at between ${told(4)} and ${told(5)}
    where entry.source = 'proxy' and entry.session_id is null and entry.response_id is not null
      and entry.client = ${told(2)} and entry.provider = ${told(3)}
      and ${sql.join(counts, sql` and `)}
      and not exists (select 1 from ledger_entry taken
        where taken.response_id = entry.response_id and taken.source = 'local_log'
          and taken.id not in (${told(0)}, ${told(1)}))
    order by abs(entry.occurred_at + ${sql.lit(AFTER_MS)} - (${told(5)})), entry.id`.execute(db)
  return rows
}

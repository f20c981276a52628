import { sql } from 'kysely'
import type { Db } from '../store/schema.ts'
import { TOKEN_CLASSES, type TokenClass, type Usage } from '../usage.ts'
import type { UsageEvent } from './event.ts'

/** An entry that no other one takes the place of. */
export const IS_CURRENT = sql<boolean>`not exists (
  select 1 from ledger_entry newer where newer.replaces = ledger_entry.id)`

/** Between the id of a request and the number of its revision; no id of ours has it. */
const MARK = '~'

const TOLD_COLUMNS = [
  'id',
  'occurred_at',
  'session_id',
  'project',
  'request_id',
  'reasoning_tokens',
  'units',
  ...TOKEN_CLASSES,
]

type Amounts = Pick<Usage, TokenClass | 'units'>

type Told = Amounts & {
  readonly id: string
  readonly occurred_at: number
  readonly session_id: string | null
  readonly project: string | null
  readonly request_id: string | null
  readonly reasoning_tokens: number
}

/**
 * What is to be recorded of requests that a source tells again and again while they grow, such as a
 * transcript's streamed messages: a new request as it is, a known one only when it says more than what
 * is booked, as a new entry that replaces the booked one. Whatever the order and however often they
 * are told, the largest telling with the earliest time is what counts in the end.
 */
export async function reviseEvents(
  db: Db,
  events: readonly UsageEvent[],
): Promise<{ fresh: UsageEvent[]; revised: UsageEvent[] }> {
  const told = new Map<string, UsageEvent>()
  for (const event of events) {
    const known = told.get(event.id)
    told.set(event.id, known ? mergeEvents(known, event) : event)
  }
  const booked = await findBooked(db, [...told.keys()])
  const fresh: UsageEvent[] = []
  const revised: UsageEvent[] = []
  for (const event of told.values()) {
    const current = booked.get(event.id)
    if (!current) fresh.push(event)
    else if (isLarger(event.usage, current) || event.occurred_at < current.occurred_at)
      revised.push(revisionOf(event, current))
  }
  return { fresh, revised }
}

/** One request told twice: the larger usage, at the time and place of the earlier telling. */
export function mergeEvents(a: UsageEvent, b: UsageEvent): UsageEvent {
  const larger = isLarger(b.usage, a.usage) ? b : a
  const first = b.occurred_at < a.occurred_at ? b : a
  return { ...larger, ...placeOf(first), request_id: a.request_id ?? b.request_id }
}

function placeOf({ occurred_at, session_id, project }: UsageEvent | Told) {
  return { occurred_at, session_id, project }
}

function revisionOf(event: UsageEvent, current: Told): UsageEvent {
  const [, number = '1'] = current.id.split(MARK)
  return {
    ...event,
    ...placeOf(event.occurred_at < current.occurred_at ? event : current),
    id: `${event.id}${MARK}${Number(number) + 1}`,
    request_id: current.request_id ?? event.request_id,
    usage: isLarger(event.usage, current)
      ? event.usage
      : { ...event.usage, ...amountsOf(current), reasoning_tokens: current.reasoning_tokens },
    replaces: current.id,
  }
}

function amountsOf(told: Amounts): Amounts {
  const tokens = Object.fromEntries(TOKEN_CLASSES.map((name) => [name, told[name]]))
  return { ...(tokens as Record<TokenClass, number>), units: told.units }
}

/** By all tokens; of equal sums the one that knows more of them to be dearer cache writes, then units. */
function isLarger(a: Amounts, b: Amounts): boolean {
  const difference =
    sumOf(a) - sumOf(b) || a.cache_write_1h_tokens - b.cache_write_1h_tokens || a.units - b.units
  return difference > 0
}

function sumOf(amounts: Amounts): number {
  return TOKEN_CLASSES.reduce((sum, name) => sum + amounts[name], 0)
}

/** The current entry of each request, by the request's own id. */
async function findBooked(db: Db, ids: readonly string[]): Promise<Map<string, Told>> {
  const list = JSON.stringify(ids)
  const columns = sql.join(TOLD_COLUMNS.map((name) => sql.ref(`ledger_entry.${name}`)))
  const { rows } = await sql<Told>`
    select ${columns} from json_each(${list}) wanted
      join ledger_entry on ledger_entry.id = wanted.value
    where ${IS_CURRENT}
    union all
    select ${columns} from json_each(${list}) wanted
      join ledger_entry on ledger_entry.id >= wanted.value || ${MARK}
        and ledger_entry.id < wanted.value || ${MARK} || ':'
    where ${IS_CURRENT}`.execute(db)
  return new Map(rows.map((row) => [row.id.split(MARK)[0] ?? row.id, row]))
}

/** The ids of what is booked of some sessions up to an instant, as their source gave them. */
export async function listEntryIds(
  db: Db,
  session_ids: readonly string[],
  until: number,
): Promise<Set<string>> {
  if (session_ids.length === 0) return new Set()
  const rows = await db
    .selectFrom('ledger_entry')
    .select('id')
    .where('session_id', 'in', session_ids)
    .where('occurred_at', '<=', until)
    .execute()
  return new Set(rows.map(({ id }) => id.split(MARK)[0] ?? id))
}

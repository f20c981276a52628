import { type RawBuilder, sql } from 'kysely'
import type { Nanos } from '../money.ts'
import { nanos } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { Subject } from './admission.ts'
import { createBook } from './book.ts'
import type { Budget } from './budget.ts'
import { isUnsettled } from './hold-state.ts'
import { SUBJECT_COLUMNS, type SubjectRow, subjectOf } from './spent.ts'

/** What one budget, or one member of it, has used of its running window. */
export type Use = {
  readonly member: string
  readonly spent_nanos: Nanos
  readonly held_nanos: Nanos
  /** The part of `spent_nanos` that is charged without being known to be owed. */
  readonly uncertain_nanos: Nanos
}

export const NO_USE: Use = { member: '', spent_nanos: 0n, held_nanos: 0n, uncertain_nanos: 0n }

/** Of budgets that give each member a limit, so many are looked at, and those that are asked for. */
const MEMBERS_MAX = 1_000

/**
 * The same sums as the gate's, from the rows alone: of each blocking budget, by member. `wanted` are pairs
 * of a budget's id and the start of its window.
 */
export async function listHeld(
  db: Db,
  budgets: readonly Budget[],
  wanted: RawBuilder<unknown>,
  { now, subjects }: { now: number; subjects: readonly Subject[] },
): Promise<Map<string, Map<string, Use>>> {
  const blocking = budgets.filter(({ action }) => action === 'block')
  const all = new Map(blocking.map(({ id }) => [id, new Map<string, Use>()]))
  const add = (budget_id: string, member: string, more: Partial<Use>) => {
    const uses = all.get(budget_id)
    const { spent_nanos, held_nanos, uncertain_nanos } = uses?.get(member) ?? NO_USE
    uses?.set(member, {
      member,
      spent_nanos: spent_nanos + (more.spent_nanos ?? 0n),
      held_nanos: held_nanos + (more.held_nanos ?? 0n),
      uncertain_nanos: uncertain_nanos + (more.uncertain_nanos ?? 0n),
    })
  }
  if (blocking.length === 0) return all
  const book = createBook(blocking, [], now)
  for (const { state, bound, admitted_at, ...row } of await listOpen(db)) {
    for (const { line, member } of book.bind(subjectOf(row))) {
      const { budget, rolling_ms, window } = line
      const { start, end } = window
      const is_within = admitted_at >= start && (end === null || admitted_at < end)
      if (state === 'uncertain' && is_within)
        add(budget.id, member, { uncertain_nanos: BigInt(bound) })
      if (state === 'open' && (is_within || rolling_ms !== undefined))
        add(budget.id, member, { held_nanos: BigInt(bound) })
    }
  }
  const asked = [
    ...[...all].flatMap(([id, uses]) => [...uses.keys()].map((member) => [id, member])),
    ...subjects
      .flatMap((one) => book.bind(one))
      .map(({ line, member }) => [line.budget.id, member]),
  ]
  for (const { budget_id, member, spent } of await listSpent(db, wanted, asked))
    add(budget_id, member, { spent_nanos: BigInt(spent) })
  return all
}

type SpentSum = { readonly budget_id: string; readonly member: string; readonly spent: string }

/** Of a budget with very many members those that spent most, and those that are asked for. */
async function listSpent(
  db: Db,
  wanted: RawBuilder<unknown>,
  asked: readonly (readonly string[])[],
): Promise<SpentSum[]> {
  const { rows } = await sql<SpentSum>`
    select budget_id, member, cast(spent as text) as spent from (
      select budget_id, member, sum(spent_nanos) as spent,
        row_number() over (partition by budget_id order by sum(spent_nanos) desc) as place
      from ${wanted} as wanted cross join budget_spent
        on budget_id = wanted.value ->> 0 and bucket_start >= wanted.value ->> 1
      group by budget_id, member)
    where place <= ${MEMBERS_MAX} or (budget_id, member) in (
      select value ->> 0, value ->> 1 from json_each(${JSON.stringify(asked)}))`.execute(db)
  return rows
}

type OpenRow = SubjectRow & {
  readonly state: string
  readonly bound: string
  readonly admitted_at: number
}

async function listOpen(db: Db): Promise<OpenRow[]> {
  return db
    .selectFrom('hold')
    .select(['state', nanos('bound_nanos').as('bound'), 'admitted_at', ...SUBJECT_COLUMNS])
    .where(isUnsettled)
    .execute()
}

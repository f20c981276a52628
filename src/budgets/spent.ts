import { type RawBuilder, sql } from 'kysely'
import type { Nanos } from '../money.ts'
import { insertRows } from '../store/columns.ts'
import { bumpRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import type { Subject } from './admission.ts'
import { type Scope, scopeMatcher } from './scope.ts'
import { bucketAt, type Calendar, rollingMs, windowAt } from './window.ts'

type Counted = Calendar & { readonly id: string; readonly scope: Scope }

/** One request that was charged, from whichever table says so. */
export type Charge = {
  readonly at: number
  readonly amount_nanos: Nanos
  readonly subject: Subject
}

/**
 * Makes the budget's projection again, from the start of the window that `now` is in: what settled holds
 * charged, and what the proxy booked of requests that no hold was made for. Holds that were pruned are
 * counted by their entries and by what is kept of the difference. The write lock keeps everybody else
 * from settling meanwhile.
 */
export async function rebuildSpent(trx: Db, budget: Counted, now: number): Promise<void> {
  await trx.deleteFrom('budget_spent').where('budget_id', '=', budget.id).execute()
  const match = scopeMatcher(budget.scope)
  const column = COLUMNS[budget.scope.kind]
  const sums = new Map<string, { member: string; bucket_start: number; spent: Nanos }>()
  const buckets = new Map<number, number>()
  for (const { at, own, amount } of await listCharges(trx, budget, now)) {
    const member = match(subjectOf({ ...NO_SUBJECT, [column]: own }))
    if (member === undefined) continue
    const bucket_start = buckets.get(at) ?? bucketAt(budget, at)
    buckets.set(at, bucket_start)
    const id = JSON.stringify([member, bucket_start])
    const spent = (sums.get(id)?.spent ?? 0n) + BigInt(amount)
    sums.set(id, { member, bucket_start, spent })
  }
  await insertRows(
    trx,
    'budget_spent',
    ['budget_id', 'member', 'bucket_start', 'spent_nanos'],
    [...sums.values()]
      .filter(({ spent }) => spent !== 0n)
      .map(({ member, bucket_start, spent }) => [budget.id, member, bucket_start, spent]),
  )
  // What was charged since is no longer all that differs.
  await bumpRevision(trx, 'budget_list')
}

/** Where a request says what a scope of each kind looks at; `all` looks at nothing. */
const COLUMNS = {
  all: 'provider',
  provider: 'provider',
  model: 'model',
  wrapped_key: 'wrapped_key',
  workspace: 'workspace',
  user: 'user',
  session: 'session_id',
  tag: 'tags',
} as const

type ChargeRow = { readonly at: number; readonly own: string | null; readonly amount: string }

/**
 * Every charge since the running window began, summed by what the scope looks at and by time, so that a
 * busy month stays a short list: the running window as one, the rest by the minute. Minutes are whole in
 * every bucket: windows begin on one in every zone of today.
 */
async function listCharges(db: Db, budget: Counted, now: number): Promise<ChargeRow[]> {
  const { start, end } = windowAt(budget, now)
  const own = sql.ref(COLUMNS[budget.scope.kind])
  const whole_until = rollingMs(budget.period) === undefined ? (end ?? MAX) : start
  const bucket = (at: string) =>
    sql`case when ${sql.ref(at)} < ${whole_until} then ${start} else ${sql.ref(at)} / 60000 * 60000 end`
  const { rows } = await sql<ChargeRow>`
    select at, own, cast(sum(amount) as text) as amount
    from (
      select ${bucket('admitted_at')} as at, ${own} as own, charged_nanos as amount
      from hold where admitted_at >= ${start} and state in ('settled', 'uncertain')
      union all
      select ${bucket('occurred_at')}, ${own}, cost_nanos
      from ledger_entry
      where occurred_at >= ${start} and source = 'proxy' and cost_nanos is not null and is_held = 0
      union all
      select ${bucket('minute')}, ${own}, nanos from pruned_charge where minute >= ${start}
    )
    group by at, own`.execute(db)
  return rows
}

const MAX = Number.MAX_SAFE_INTEGER

export type SubjectRow = {
  readonly provider: string
  readonly model: string
  readonly wrapped_key: string | null
  readonly workspace: string | null
  readonly user: string | null
  readonly session_id: string | null
  readonly tags: string
}

export const SUBJECT_COLUMNS = [
  'provider',
  'model',
  'wrapped_key',
  'workspace',
  'user',
  'session_id',
  'tags',
] as const satisfies readonly (keyof SubjectRow)[]

export const SUBJECT: RawBuilder<unknown> = sql.join(SUBJECT_COLUMNS.map((name) => sql.ref(name)))

const NO_SUBJECT: SubjectRow = {
  provider: '',
  model: '',
  wrapped_key: null,
  workspace: null,
  user: null,
  session_id: null,
  tags: '{}',
}

export function subjectOf(row: SubjectRow): Subject {
  const { provider, model, wrapped_key, workspace, user, session_id } = row
  const tags = JSON.parse(row.tags) as Record<string, string>
  return { provider, model, wrapped_key, workspace, user, session: session_id, tags }
}

import { type RawBuilder, sql } from 'kysely'
import { HOUR_MS } from '../clock.ts'
import type { Nanos } from '../money.ts'
import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { Subject } from './admission.ts'
import { type Scope, scopeMatcher } from './scope.ts'
import { bucketAt, type Calendar, windowAt } from './window.ts'

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
  const { start } = windowAt(budget, now)
  await trx.deleteFrom('budget_spent').where('budget_id', '=', budget.id).execute()
  const match = scopeMatcher(budget.scope)
  const sums = new Map<string, { member: string; bucket_start: number; spent: Nanos }>()
  for (const { at, amount_nanos, subject } of await listCharges(trx, start)) {
    const member = match(subject)
    if (member === undefined) continue
    const bucket_start = bucketAt(budget, at)
    const id = JSON.stringify([member, bucket_start])
    const spent = (sums.get(id)?.spent ?? 0n) + amount_nanos
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
}

/**
 * Every charge since an instant, summed by minute and subject so that a busy month stays a short list.
 * Minutes are whole in every bucket: windows begin on one in every zone of today.
 */
async function listCharges(db: Db, start: number): Promise<Charge[]> {
  // What is billed beside a held request is in its charge: `<entry id>.<n>`.
  const held = sql`select entry_id from hold
    where entry_id is not null and admitted_at >= ${start - HELD_BEFORE_MS}`
  const { rows } = await sql<ChargeRow>`
    select minute, provider, model, wrapped_key, workspace, user, session_id, tags,
      cast(sum(amount) as text) as amount
    from (
      select admitted_at / 60000 * 60000 as minute, charged_nanos as amount, ${SUBJECT}
      from hold where admitted_at >= ${start} and state in ('settled', 'uncertain')
      union all
      select occurred_at / 60000 * 60000, cost_nanos, ${SUBJECT}
      from ledger_entry
      where occurred_at >= ${start} and source = 'proxy' and cost_nanos is not null
        and id not in (${held}) and rtrim(rtrim(id, '0123456789'), '.') not in (${held})
      union all
      select minute, nanos, ${SUBJECT} from pruned_charge where minute >= ${start}
    )
    group by minute, ${SUBJECT}`.execute(db)
  return rows.map((row) => ({
    at: row.minute,
    amount_nanos: BigInt(row.amount),
    subject: subjectOf(row),
  }))
}

/** An entry is dated when its request began, about when it was held. */
const HELD_BEFORE_MS = HOUR_MS

type ChargeRow = SubjectRow & { readonly minute: number; readonly amount: string }

export type SubjectRow = {
  readonly provider: string
  readonly model: string
  readonly wrapped_key: string | null
  readonly workspace: string | null
  readonly user: string | null
  readonly session_id: string | null
  readonly tags: string
}

export const SUBJECT: RawBuilder<unknown> = sql.raw(
  'provider, model, wrapped_key, workspace, user, session_id, tags',
)

export function subjectOf(row: SubjectRow): Subject {
  const { provider, model, wrapped_key, workspace, user, session_id } = row
  const tags = JSON.parse(row.tags) as Record<string, string>
  return { provider, model, wrapped_key, workspace, user, session: session_id, tags }
}

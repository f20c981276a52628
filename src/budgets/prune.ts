import { type RawBuilder, sql } from 'kysely'
import { DAY_MS, HOUR_MS } from '../clock.ts'
import { appendAudit } from '../keys/audit.ts'
import { usdFromNanos } from '../money.ts'
import type { Db } from '../store/schema.ts'
import { listBudgets } from './budget.ts'
import { SUBJECT } from './spent.ts'
import { rollingMs, windowAt } from './window.ts'

/** Longer than a month: until then a budget of any usual period is counted anew from whole holds. */
const KEPT_MS = 35 * DAY_MS
/** What gets old in this time goes together: a busy proxy's every second is no deed of its own. */
const GATHERED_MS = HOUR_MS
const HOLDS_MAX = 2_000

/** Over, and not uncertain: of those the last word is not spoken. */
const OVER = ['settled', 'released'] as const

export async function hasOldHolds(db: Db, now: number): Promise<boolean> {
  const old = await db
    .selectFrom('hold')
    .select('id')
    .where('admitted_at', '<', now - KEPT_MS - GATHERED_MS)
    .where('state', 'in', OVER)
    .limit(1)
    .executeTakeFirst()
  return old !== undefined
}

/**
 * Deletes a part of the holds that are over and old. The request's entry stays in the ledger; where the
 * hold charged something else than that says (another model's name, a share of a lost day), the
 * difference is kept, so that `rebuildSpent` gives the same sums as before.
 */
export async function pruneHolds(db: Db, now: number): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const holds = await trx
      .selectFrom('hold')
      .select(['id', sql<string>`cast(coalesce(charged_nanos, 0) as text)`.as('charged')])
      .where('admitted_at', '<', now - KEPT_MS)
      .where('state', 'in', OVER)
      .orderBy('admitted_at')
      .limit(HOLDS_MAX)
      .execute()
    if (holds.length === 0) return
    const ids = sql`(select value from json_each(${JSON.stringify(holds.map(({ id }) => id))}))`
    await keepDifference(trx, ids)
    await sql`update ledger_entry set is_held = 0 where id in ${entriesOf(ids)}`.execute(trx)
    await sql`delete from hold where id in ${ids}`.execute(trx)
    await dropPastWindows(trx, now)
    const charged = holds.reduce((sum, one) => sum + BigInt(one.charged), 0n)
    await appendAudit(trx, {
      at: now,
      actor: 'job',
      action: 'hold.prune',
      subject: `${holds[0]?.id}-${holds.at(-1)?.id}`,
      detail: { holds: holds.length, charged_usd: usdFromNanos(charged) },
    })
  })
}

/** What the holds charged, less what their entries will be counted with: `<id>` and `<id>.<n>`. */
async function keepDifference(trx: Db, ids: RawBuilder<unknown>): Promise<void> {
  await sql`
    insert into pruned_charge (minute, nanos, ${SUBJECT})
    select minute, sum(nanos), ${SUBJECT} from (
      select admitted_at / 60000 * 60000 as minute, charged_nanos as nanos, ${SUBJECT}
      from hold where id in ${ids} and state = 'settled'
      union all
      select occurred_at / 60000 * 60000, -cost_nanos, ${SUBJECT}
      from ledger_entry
      where source = 'proxy' and cost_nanos is not null and id in ${entriesOf(ids)}
    )
    group by minute, ${SUBJECT} having sum(nanos) <> 0`.execute(trx)
}

function entriesOf(ids: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
    select entry_id from hold where id in ${ids} and entry_id is not null
    union all
    select beside.id from hold join ledger_entry as beside
      on beside.id >= hold.entry_id || '.' and beside.id < hold.entry_id || '/'
    where hold.id in ${ids})`
}

/** No window is looked at again once it has left, and no minute of one that rolls. */
async function dropPastWindows(trx: Db, now: number): Promise<void> {
  const starts = (await listBudgets(trx)).map((budget) => {
    const kept_ms = rollingMs(budget.period) === undefined ? KEPT_MS : DAY_MS
    return [budget.id, windowAt(budget, now).start - kept_ms]
  })
  const past = sql`json_each(${JSON.stringify(starts)}) as past`
  await sql`
    delete from budget_spent where (budget_id, member, bucket_start) in (
      select budget_id, member, bucket_start from ${past} cross join budget_spent
        on budget_id = past.value ->> 0 and bucket_start < past.value ->> 1)`.execute(trx)
  await sql`
    delete from budget_crossing where (budget_id, member, window_start, percent) in (
      select budget_id, member, window_start, percent from ${past} cross join budget_crossing
        on budget_id = past.value ->> 0 and crossed_at < past.value ->> 1)`.execute(trx)
}

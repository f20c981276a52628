import { sql } from 'kysely'
import { DAY_MS, floorTo } from '../clock.ts'
import { appendAudit } from '../keys/audit.ts'
import { listCoverage } from '../ledger/coverage.ts'
import { sumSpend } from '../ledger/spend.ts'
import { type Nanos, usdFromNanos } from '../money.ts'
import { nanos } from '../store/columns.ts'
import { bumpRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import { chargeBudgets } from './charge.ts'
import { isUncertain } from './hold-state.ts'
import { type Charge, SUBJECT_COLUMNS, type SubjectRow, subjectOf } from './spent.ts'

const HOLDS_MAX = 2_000
/** Providers add late rows for some hours after a day's end. */
const SETTLE_MS = 12 * 60 * 60_000

/**
 * Lowers what lost requests are charged to what they can have cost at most by the provider's own report:
 * on a UTC day that was read to its end, all that it counted less all that the proxy accounted exactly,
 * both at list price. Where other programs use the same account, that is more than the truth, so the
 * charge stays too high rather than too low. A report that does not even contain what the proxy sent is
 * another organisation's and proves nothing. Gives how many holds were settled.
 */
export async function settleByEvidence(db: Db, now: number): Promise<number> {
  const groups = Map.groupBy(
    await listUncertain(db, now),
    ({ provider, admitted_at }) => `${provider} ${floorTo(admitted_at, DAY_MS)}`,
  )
  let settled = 0
  for (const holds of groups.values()) {
    const [first] = holds
    if (!first) continue
    const most = await mostOf(db, first.provider, floorTo(first.admitted_at, DAY_MS), now)
    if (most !== null) settled += await settleGroup(db, holds, most, now)
  }
  return settled
}

type Uncertain = SubjectRow & {
  readonly id: number
  readonly admitted_at: number
  readonly charged: string
}

async function listUncertain(db: Db, now: number): Promise<Uncertain[]> {
  return db
    .selectFrom('hold')
    .select(['id', 'admitted_at', nanos('charged_nanos').as('charged'), ...SUBJECT_COLUMNS])
    .where(isUncertain)
    .where('admitted_at', '<', floorTo(now, DAY_MS))
    .orderBy('id')
    .limit(HOLDS_MAX)
    .execute()
}

/** What the day's lost requests can have cost together; null: nothing proves it yet. */
async function mostOf(db: Db, provider: string, day: number, now: number): Promise<Nanos | null> {
  const end = day + DAY_MS
  const reports = (await listCoverage(db)).filter((one) => one.provider === provider)
  const is_read = reports.some(({ metered, last_read_at }) => {
    const covers = metered !== null && metered.from <= day && metered.until >= end
    return covers && (last_read_at ?? 0) >= end + SETTLE_MS
  })
  if (!is_read || now < end + SETTLE_MS) return null
  const { total } = await sumSpend(db, {
    period: {
      label: 'evidence',
      start_at: day,
      end_at: end,
      zone: 'UTC',
      days: { start: day, end },
    },
    group_by: [],
    filter: { provider: [provider], source: ['admin_api'] },
    basis: 'metered',
  })
  const exact = await sumExact(db, provider, day)
  const reported = total.metered_nanos
  if (total.unpriced_requests > 0 || exact === 0n || reported < exact) return null
  return reported - exact
}

/** What the proxy knows for certain: entries without a price or an exact count prove nothing. */
async function sumExact(db: Db, provider: string, day: number): Promise<Nanos> {
  const { rows } = await sql<{ sum: string }>`
    select cast(coalesce(sum(cost_nanos), 0) as text) as sum from ledger_entry
    where source = 'proxy' and provider = ${provider}
      and occurred_at >= ${day} and occurred_at < ${day + DAY_MS}
      and id not in (select entry_id from hold where ${isUncertain} and entry_id is not null)`.execute(
    db,
  )
  return BigInt(rows[0]?.sum ?? 0)
}

/** Each gets its share of what is left, in proportion to what it held, rounded up. */
async function settleGroup(
  db: Db,
  holds: readonly Uncertain[],
  most: Nanos,
  now: number,
): Promise<number> {
  const charged = holds.reduce((sum, one) => sum + BigInt(one.charged), 0n)
  if (most >= charged) return 0
  return db.transaction().execute(async (trx) => {
    const charges: Charge[] = []
    for (const hold of holds) {
      const before = BigInt(hold.charged)
      const after = charged === 0n ? 0n : (before * most + charged - 1n) / charged
      const { numUpdatedRows } = await trx
        .updateTable('hold')
        .set({ state: 'settled', charged_nanos: after, settled_at: now })
        .where('id', '=', hold.id)
        .where('state', '=', 'uncertain')
        .executeTakeFirst()
      // The request's own settlement may have come since.
      if (numUpdatedRows === 0n) continue
      const amount_nanos = after - before
      charges.push({ subject: subjectOf(hold), at: hold.admitted_at, amount_nanos })
    }
    await chargeBudgets(trx, charges)
    const lowered = charges.reduce((sum, { amount_nanos }) => sum - amount_nanos, 0n)
    await bumpRevision(trx, 'budgets')
    await appendAudit(trx, {
      at: now,
      actor: 'job',
      action: 'hold.evidence',
      subject: holds[0]?.provider ?? '',
      detail: { holds: charges.length, lowered_usd: usdFromNanos(lowered) },
    })
    return charges.length
  })
}

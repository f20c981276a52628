import type { Nanos } from '../money.ts'
import type { BudgetMirrorTable } from '../store/budget-tables.ts'
import type { Db } from '../store/schema.ts'

/** A provider's own limit beside a budget. `seen_cents` null: there is none any more. */
export type Mirror = BudgetMirrorTable

const NANOS_PER_CENT = 10_000_000n

/** Whole cents, rounded up: a limit of the provider must not stop what the budget still allows. */
export function centsOf(limit: Nanos): number {
  return Number((limit + NANOS_PER_CENT - 1n) / NANOS_PER_CENT)
}

export function nanosOfCents(cents: number): Nanos {
  return BigInt(cents) * NANOS_PER_CENT
}

export async function saveMirror(db: Db, mirror: Mirror): Promise<void> {
  const { budget_id: _, ...rest } = mirror
  await db
    .insertInto('budget_mirror')
    .values(mirror)
    .onConflict((conflict) => conflict.column('budget_id').doUpdateSet(rest))
    .execute()
}

export async function findMirror(db: Db, budget_id: string): Promise<Mirror | undefined> {
  return db
    .selectFrom('budget_mirror')
    .selectAll()
    .where('budget_id', '=', budget_id)
    .executeTakeFirst()
}

export async function listMirrors(db: Db): Promise<Mirror[]> {
  return db.selectFrom('budget_mirror').selectAll().execute()
}

/** Those that were not looked at since, the longest first. */
export async function listMirrorsSeenBefore(db: Db, instant: number): Promise<Mirror[]> {
  return db
    .selectFrom('budget_mirror')
    .selectAll()
    .where('seen_at', '<', instant)
    .orderBy('seen_at')
    .limit(50)
    .execute()
}

export async function removeMirror(db: Db, budget_id: string): Promise<void> {
  await db.deleteFrom('budget_mirror').where('budget_id', '=', budget_id).execute()
}

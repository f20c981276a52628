import { sql } from 'kysely'
import type { Db } from '../store/schema.ts'
import { listBudgets } from './budget.ts'
import { scopeMatcher } from './scope.ts'
import type { Charge } from './spent.ts'
import { bucketAt } from './window.ts'

/**
 * Adds charges, or takes them back, to every blocking budget that counts them, within a transaction that
 * bumps the revision of `budgets` afterwards.
 */
export async function chargeBudgets(trx: Db, charges: readonly Charge[]): Promise<void> {
  for (const budget of await listBudgets(trx, { action: 'block' })) {
    const match = scopeMatcher(budget.scope)
    for (const { subject, at, amount_nanos } of charges) {
      const member = match(subject)
      if (member === undefined) continue
      const bucket_start = bucketAt(budget, at)
      await trx
        .insertInto('budget_spent')
        .values({
          budget_id: budget.id,
          member,
          bucket_start,
          spent_nanos: amount_nanos,
          revision: NEXT_REVISION,
        })
        .onConflict((conflict) =>
          conflict.columns(['budget_id', 'member', 'bucket_start']).doUpdateSet((eb) => ({
            spent_nanos: eb('budget_spent.spent_nanos', '+', eb.ref('excluded.spent_nanos')),
            revision: eb.ref('excluded.revision'),
          })),
        )
        .execute()
    }
  }
}

const NEXT_REVISION = sql<number>`(select value + 1 from revision where name = 'budgets')`

import type { RevisionName } from './budget-tables.ts'
import type { Db } from './schema.ts'

/**
 * Says that cached budgets or keys are out of date, within the transaction that changes them. Whoever
 * caches compares the number when `pragma data_version` tells that somebody wrote.
 */
export async function bumpRevision(trx: Db, name: RevisionName): Promise<void> {
  await trx
    .updateTable('revision')
    .set((eb) => ({ value: eb('value', '+', 1) }))
    .where('name', '=', name)
    .execute()
}

export async function readRevision(db: Db, name: RevisionName): Promise<number> {
  const { value } = await db
    .selectFrom('revision')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirstOrThrow()
  return value
}

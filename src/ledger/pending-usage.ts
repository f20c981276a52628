import type { PendingUsageTable } from '../store/proxy-tables.ts'
import type { Db } from '../store/schema.ts'
import type { UsageEvent } from './event.ts'

/** A request that was answered before its work was done: its usage is told later, under the job's id. */
export type PendingUsage = Omit<PendingUsageTable, 'event'> & { readonly event: UsageEvent }

/** On disk when it returns; the same job twice stays one. */
export async function addPending(db: Db, pending: PendingUsage): Promise<void> {
  await db
    .insertInto('pending_usage')
    .values({ ...pending, event: JSON.stringify(pending.event) })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

export async function findPending(
  db: Db,
  provider: string,
  job_id: string,
): Promise<PendingUsage | undefined> {
  const row = await db
    .selectFrom('pending_usage')
    .selectAll()
    .where('provider', '=', provider)
    .where('job_id', '=', job_id)
    .executeTakeFirst()
  return row && read(row)
}

export async function hasPendingUsage(db: Db): Promise<boolean> {
  const row = await db.selectFrom('pending_usage').select('job_id').limit(1).executeTakeFirst()
  return row !== undefined
}

export async function listDuePending(db: Db, now: number, limit: number): Promise<PendingUsage[]> {
  const rows = await db
    .selectFrom('pending_usage')
    .selectAll()
    .where('next_poll_at', '<=', now)
    .orderBy('next_poll_at')
    .limit(limit)
    .execute()
  return rows.map(read)
}

export async function postponePending(
  db: Db,
  { provider, job_id }: PendingUsage,
  next_poll_at: number,
): Promise<void> {
  await db
    .updateTable('pending_usage')
    .set({ next_poll_at })
    .where('provider', '=', provider)
    .where('job_id', '=', job_id)
    .execute()
}

export async function removePending(db: Db, { provider, job_id }: PendingUsage): Promise<void> {
  await db
    .deleteFrom('pending_usage')
    .where('provider', '=', provider)
    .where('job_id', '=', job_id)
    .execute()
}

/** An event that waits has no reported cost, so that JSON holds all of it. */
function read({ event, ...row }: PendingUsageTable): PendingUsage {
  return { ...row, event: JSON.parse(event) as UsageEvent }
}

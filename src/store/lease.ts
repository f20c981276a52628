import { sql } from 'kysely'
import type { Db } from './schema.ts'

/** This process, as other processes on the same store see it. Times are wall-clock milliseconds. */
export type Holder = {
  readonly id: string
  readonly pid: number
  readonly hostname: string
  /** False only when the process with that number is certainly gone from this machine. */
  isAlive(pid: number): boolean
  wallNow(): number
}

export type LeaseState = {
  readonly owner: string
  readonly pid: number
  readonly hostname: string
  readonly detail: string
}

/**
 * Takes or renews a named lease for `ttl_ms`. A lease is free when it has run out or when its holder
 * was a process of this machine that is gone. Returns whether we hold it now.
 */
export async function takeLease(
  db: Db,
  holder: Holder,
  lease: { name: string; ttl_ms: number },
): Promise<boolean> {
  const { name, ttl_ms } = lease
  return db.transaction().execute(async (trx) => {
    const now = holder.wallNow()
    const current = await trx
      .selectFrom('lease')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst()
    if (current && current.owner !== holder.id && !isFree(current, holder, now)) return false
    const { id: owner, pid, hostname } = holder
    const row = { owner, pid, hostname, expires_at: now + ttl_ms }
    // A renewal keeps what the holder told the others; a new holder has told nothing yet.
    const detail = current?.owner === owner ? current.detail : '{}'
    await trx
      .insertInto('lease')
      .values({ name, detail, ...row })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ detail, ...row }))
      .execute()
    return true
  })
}

/** Inside a transaction: whether the lease is still ours. A paused process may have lost it. */
export async function holdsLease(trx: Db, holder: Holder, name: string): Promise<boolean> {
  const row = await trx
    .selectFrom('lease')
    .select(sql<number>`1`.as('one'))
    .where('name', '=', name)
    .where('owner', '=', holder.id)
    .executeTakeFirst()
  return row !== undefined
}

export async function releaseLease(db: Db, holder: Holder, name: string): Promise<void> {
  await db.deleteFrom('lease').where('name', '=', name).where('owner', '=', holder.id).execute()
}

/** Who holds the lease now, if anyone does. */
export async function findLease(
  db: Db,
  holder: Holder,
  name: string,
): Promise<LeaseState | undefined> {
  const row = await db.selectFrom('lease').selectAll().where('name', '=', name).executeTakeFirst()
  return row && !isFree(row, holder, holder.wallNow()) ? row : undefined
}

function isFree(
  lease: { pid: number; hostname: string; expires_at: number },
  holder: Holder,
  now: number,
): boolean {
  return (
    lease.expires_at <= now || (lease.hostname === holder.hostname && !holder.isAlive(lease.pid))
  )
}

import { sql } from 'kysely'
import { HOUR_MS } from '../clock.ts'
import { appendAudit } from '../keys/audit.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { recordEvents } from '../ledger/record.ts'
import { usdFromNanos } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { nanos } from '../store/columns.ts'
import type { Holder } from '../store/lease.ts'
import { bumpRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import { NO_USAGE } from '../usage.ts'
import { chargeBudgets } from './charge.ts'
import { isOpen } from './hold-state.ts'
import { SUBJECT_COLUMNS, type SubjectRow, subjectOf } from './spent.ts'

export type HealParts = {
  readonly db: Db
  readonly holder: Holder
  readonly catalog: Catalog
  readonly now: number
}

const HOLDS_MAX = 500
/** A process that lives, or whose machine cannot be asked, gets this much longer to settle. */
const GRACE_MS = HOUR_MS

/**
 * Holds whose request is certainly over and whose owner is gone: what they cost is not known, only what
 * it cannot have exceeded. They stay charged with that and are told as uncertain; the request gets its
 * ledger entry, without a cost. Gives how many were closed.
 */
export async function closeLostHolds(parts: HealParts): Promise<number> {
  const { db, catalog, now } = parts
  return db.transaction().execute(async (trx) => {
    const lost = (await listOverdue(trx, now)).filter((hold) => isLost(hold, parts))
    if (lost.length === 0) return 0
    for (const hold of lost) await closeHold(trx, hold, now)
    await chargeBudgets(
      trx,
      lost.map((hold) => ({
        subject: subjectOf(hold),
        at: hold.admitted_at,
        amount_nanos: BigInt(hold.bound),
      })),
    )
    await recordEvents(trx, catalog, lost.map(eventOf), now)
    await bumpRevision(trx, 'budgets')
    const charged = lost.reduce((sum, { bound }) => sum + BigInt(bound), 0n)
    await appendAudit(trx, {
      at: now,
      actor: 'job',
      action: 'hold.uncertain',
      subject: lost[0]?.owner ?? '',
      detail: { holds: lost.length, charged_usd: usdFromNanos(charged) },
    })
    return lost.length
  })
}

/** Whether there is anything to close, alive or not. */
export async function hasOverdueHolds(db: Db, now: number): Promise<boolean> {
  const overdue = await db
    .selectFrom('hold')
    .select('id')
    .where(isOpen)
    .where('deadline_at', '<=', now)
    .where(({ not, exists }) => not(exists(waiting(db))))
    .limit(1)
    .executeTakeFirst()
  return overdue !== undefined
}

/** A job whose usage is still to be told is not lost: its provider is asked until it tells. */
function waiting(db: Db) {
  return db
    .selectFrom('pending_usage')
    .select('job_id')
    .where('pending_usage.hold_id', '=', sql<string>`cast(hold.id as text)`)
}

async function closeHold(trx: Db, hold: Overdue, now: number): Promise<void> {
  await trx
    .updateTable('hold')
    .set({
      state: 'uncertain',
      charged_nanos: BigInt(hold.bound),
      settled_at: now,
      entry_id: entryIdOf(hold),
    })
    .where('id', '=', hold.id)
    .execute()
}

type Overdue = SubjectRow & {
  readonly id: number
  readonly owner: string
  readonly bound: string
  readonly admitted_at: number
  readonly deadline_at: number
  readonly pid: number | null
  readonly hostname: string | null
}

async function listOverdue(trx: Db, now: number): Promise<Overdue[]> {
  return trx
    .selectFrom('hold')
    .leftJoin('hold_owner', 'hold_owner.id', 'hold.owner')
    .select([
      'hold.id',
      'owner',
      nanos('bound_nanos').as('bound'),
      'admitted_at',
      'hold.deadline_at',
      'pid',
      'hostname',
      ...SUBJECT_COLUMNS,
    ])
    .where(isOpen)
    .where('hold.deadline_at', '<=', now)
    .where(({ not, exists }) => not(exists(waiting(trx))))
    .orderBy('hold.id')
    .limit(HOLDS_MAX)
    .execute()
}

function isLost(hold: Overdue, { holder, now }: HealParts): boolean {
  const is_gone =
    hold.owner !== holder.id &&
    hold.pid !== null &&
    hold.hostname === holder.hostname &&
    // A process number is used again: our own cannot be the one that held it.
    (hold.pid === holder.pid || !holder.isAlive(hold.pid))
  return is_gone || hold.deadline_at + GRACE_MS <= now
}

function entryIdOf({ id }: Overdue): string {
  return `proxy/hold/${id}`
}

function eventOf(hold: Overdue): UsageEvent {
  const { provider, model, user, session_id, wrapped_key, workspace } = hold
  return {
    id: entryIdOf(hold),
    source: 'proxy',
    signal: null,
    client: null,
    provider,
    model,
    occurred_at: hold.admitted_at,
    session_id,
    request_id: null,
    user,
    project: null,
    billing_mode: 'api',
    service_tier: null,
    speed: null,
    usage: { ...NO_USAGE, requests: 1 },
    quality: 'missing',
    reported_cost_nanos: null,
    tags: JSON.parse(hold.tags) as Record<string, string>,
    wrapped_key,
    workspace,
  }
}

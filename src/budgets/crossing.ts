import { sql } from 'kysely'
import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Nanos, usdFromNanos } from '../money.ts'
import { bumpRevision, readRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import { startTicker, type Ticker } from '../ticker.ts'
import type { Budget } from './budget.ts'
import { type BudgetUse, listBudgetUses } from './report.ts'
import type { Window } from './window.ts'

/** A threshold that a budget, or one member of it, has passed in its running window. */
export type Crossing = {
  readonly budget: Budget
  readonly member: string
  readonly percent: number
  readonly used_nanos: Nanos
}

/**
 * Writes down the thresholds that were passed, each once in a window: of a rolling budget, once in its
 * length. What is held counts, so that it is told before the money is gone. A new limit has its own
 * thresholds. Gives what is new.
 */
export async function recordCrossings(
  db: Db,
  uses: readonly BudgetUse[],
  now: number,
): Promise<Crossing[]> {
  const passed = uses.flatMap(listPassed)
  if (passed.length === 0) return []
  return db.transaction().execute(async (trx) => {
    const fresh: Crossing[] = []
    for (const one of passed) if (await record(trx, one, now)) fresh.push(one)
    if (fresh.length > 0) await bumpRevision(trx, 'budgets')
    return fresh
  })
}

type Passed = Crossing & { readonly window: Window }

/** Thresholds that were recorded are not asked for again, so that a look mostly writes nothing. */
function listPassed({ budget, window, uses, crossed }: BudgetUse): Passed[] {
  const known = new Set(crossed.map(({ member, percent }) => `${percent} ${member}`))
  return uses.flatMap(({ member, spent_nanos, held_nanos }) => {
    const used_nanos = spent_nanos + held_nanos
    return budget.thresholds
      .filter((percent) => used_nanos > 0n && isPassed(used_nanos, budget.limit_nanos, percent))
      .filter((percent) => !known.has(`${percent} ${member}`))
      .map((percent) => ({ budget, window, member, percent, used_nanos }))
  })
}

function isPassed(used: Nanos, limit: Nanos, percent: number): boolean {
  return used * 100n >= limit * BigInt(percent)
}

async function record(trx: Db, passed: Passed, crossed_at: number): Promise<boolean> {
  const { budget, window, member, percent, used_nanos } = passed
  const { limit_nanos } = budget
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('budget_crossing')
    .values({
      budget_id: budget.id,
      member,
      percent,
      window_start: window.start,
      crossed_at,
      used_nanos,
      limit_nanos,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['budget_id', 'member', 'window_start', 'percent'])
        .doUpdateSet({ crossed_at, used_nanos, limit_nanos })
        .where(sql<boolean>`budget_crossing.limit_nanos <> ${limit_nanos}`),
    )
    .executeTakeFirst()
  return (numInsertedOrUpdatedRows ?? 0n) > 0n
}

const TICK_MS = 2_000
/** What telemetry and syncs add shows in no revision: notifying budgets are added up again this often. */
const SLOW_TICKS = 15

type WatchParts = { readonly db: Db; readonly clock: Clock; readonly log: Log }

/** Looks after the thresholds, in the process that owns the store; each that is passed is logged once. */
export function watchCrossings({ db, clock, log }: WatchParts): Ticker {
  let revision = -1
  let ticks = 0

  async function look(): Promise<void> {
    const is_slow = ticks++ % SLOW_TICKS === 0
    const now_revision = await readRevision(db, 'budgets')
    if (!is_slow && now_revision === revision) return
    revision = now_revision
    const uses = await listBudgetUses(db, clock.now(), is_slow ? {} : { action: 'block' })
    for (const one of await recordCrossings(db, uses, clock.now()))
      log.warn('a budget passed a threshold', describe(one))
  }

  return startTicker(TICK_MS, look, (error) =>
    log.warn('thresholds could not be looked after', { reason: messageOf(error) }),
  )
}

function describe({ budget, member, percent, used_nanos }: Crossing) {
  return {
    budget: budget.name,
    ...(member === '' ? {} : { member }),
    percent,
    used_usd: usdFromNanos(used_nanos),
    limit_usd: usdFromNanos(budget.limit_nanos),
    action: budget.action,
  }
}

import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { readRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import { type BudgetUse, listBudgetUses } from './report.ts'

export type WatchParts = { readonly db: Db; readonly clock: Clock; readonly log: Log }

const TICK_MS = 1_000
/** What telemetry and syncs add shows in no revision: notifying budgets are added up again this often. */
const SLOW_TICKS = 30

/**
 * Calls `onChange` with the addresses of budgets whose limit, spend, holds or passed thresholds are not what they were,
 * at most once a second, whoever changed them. The first look is only remembered.
 */
export function watchBudgets(
  { db, clock, log }: WatchParts,
  onChange: (uris: readonly string[]) => void,
): { close(): void } {
  let known: Map<string, string> | undefined
  let revision = -1
  let ticks = 0
  let is_looking = false

  async function look(): Promise<void> {
    const now_revision = await readRevision(db, 'budgets')
    ticks += 1
    if (known && now_revision === revision && ticks % SLOW_TICKS !== 0) return
    revision = now_revision
    const seen = new Map((await listBudgetUses(db, clock.now())).map(signatureOf))
    const changed = known ? listChanged(known, seen) : []
    known = seen
    if (changed.length > 0) onChange([BUDGETS_URI, ...changed])
  }

  const tick = async () => {
    if (is_looking) return
    is_looking = true
    try {
      await look()
    } catch (error) {
      log.warn('budgets could not be watched', { reason: messageOf(error) })
    } finally {
      is_looking = false
    }
  }
  const timer = setInterval(() => void tick(), TICK_MS)
  timer.unref()
  void tick()
  return { close: () => clearInterval(timer) }
}

const BUDGETS_URI = 'outlay://budgets'

/** A budget is read by its id or by its name. */
function signatureOf({ budget, uses, crossed }: BudgetUse): [uris: string, signature: string] {
  const { id, name, limit_nanos, action } = budget
  const uris = [id, encodeURIComponent(name)].map((text) => `${BUDGETS_URI}/${text}`).join(' ')
  const used = uses.map((use) => `${use.member} ${use.spent_nanos} ${use.held_nanos}`)
  return [uris, [limit_nanos, action, crossed.length, ...used].join('\n')]
}

function listChanged(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): string[] {
  const all = new Set([...before.keys(), ...after.keys()])
  return [...all]
    .filter((uris) => before.get(uris) !== after.get(uris))
    .flatMap((uris) => uris.split(' '))
}

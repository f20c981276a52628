import type { Nanos } from '../money.ts'
import type { BudgetState, Subject } from './admission.ts'
import { type Book, createBook, type SpentRow, type Target } from './book.ts'
import type { GateStore, HoldRow } from './gate-store.ts'

/**
 * The book and the open holds, the same in memory as in the store. Every change is made under the
 * write lock, after a look whether anybody else has written: so the arithmetic holds for any number of
 * processes.
 */
export type Till = {
  readonly store: GateStore
  /** Who holds: this process. */
  readonly owner: string
  /** A request that cost more than its bound: an error of the estimate, charged all the same. */
  onOvershoot(hold: HoldRow, cost_nanos: Nanos): void
  book: Book
  readonly open: Map<string, OpenHold>
  readonly hold_ids: Map<string, string>
  /** What was seen at the last look; a stale till reads everything anew. */
  seen: { readonly version: number; readonly revision: number; readonly list_revision: number }
  is_stale: boolean
  /** Of the running transaction: what to add to the projection, and whether others must know. */
  charged: Map<string, SpentRow>
  is_changed: boolean
}

export type OpenHold = HoldRow & { readonly targets: readonly Target[] }

export function createTill(options: Pick<Till, 'store' | 'owner' | 'onOvershoot'>): Till {
  return {
    ...options,
    book: createBook([], [], 0),
    open: new Map(),
    hold_ids: new Map(),
    seen: { version: -1, revision: -1, list_revision: -1 },
    is_stale: true,
    charged: new Map(),
    is_changed: false,
  }
}

/** Reads what others changed. Without the lock this only tells which budgets bind. */
export function refresh(till: Till, now: number): void {
  const { store, seen, is_stale } = till
  const version = store.dataVersion()
  if (!is_stale && version === seen.version) return
  const { revision, list_revision } = store.revisions()
  if (is_stale || list_revision !== seen.list_revision) load(till, now)
  else if (revision !== seen.revision) catchUp(till)
  till.seen = { version, revision, list_revision }
  till.is_stale = false
}

/** The tightest blocking budget that binds, by what is known; undefined without one. */
export function peek({ book }: Till, subject: Subject, now: number): BudgetState | undefined {
  const tightest = book.tightest(book.bind(subject), now)
  return tightest && book.state(tightest.binding, now)
}

export function remember(till: Till, row: HoldRow): void {
  const { book } = till
  const targets = book.targets(book.bind(row.subject), row.admitted_at)
  till.open.set(row.hold_id, { ...row, targets })
  till.hold_ids.set(row.request_id, row.hold_id)
  book.hold(targets, row.bound_nanos)
}

export function forget(till: Till, hold: OpenHold): void {
  drop(till, hold)
  till.is_changed = true
}

function drop({ open, hold_ids, book }: Till, hold: OpenHold): void {
  open.delete(hold.hold_id)
  hold_ids.delete(hold.request_id)
  book.hold(hold.targets, -hold.bound_nanos)
}

/** In memory at once, in the store with the rest of the transaction. */
export function charge(till: Till, targets: readonly Target[], amount: Nanos): void {
  if (amount === 0n) return
  till.book.charge(targets, amount)
  for (const { line, member, bucket_start } of targets) {
    const budget_id = line.budget.id
    const key = `${budget_id} ${bucket_start} ${member}`
    const spent_nanos = (till.charged.get(key)?.spent_nanos ?? 0n) + amount
    till.charged.set(key, { budget_id, member, bucket_start, spent_nanos })
  }
  till.is_changed = true
}

/** What others charged, and which holds came and went: of very many budgets they touch a few at a time. */
function catchUp(till: Till): void {
  const { store, book, open, seen } = till
  for (const row of store.listSpentSince(seen.revision)) book.setSpent(row)
  const ids = new Set(store.listOpenIds())
  for (const hold of open.values()) if (!ids.has(hold.hold_id)) drop(till, hold)
  for (const id of ids) {
    const row = open.has(id) ? undefined : store.findHold(id)
    if (row?.state === 'open') remember(till, row)
  }
}

function load(till: Till, now: number): void {
  const { store } = till
  const budgets = store.listBlocking()
  const spent = budgets.flatMap((budget) => store.listSpent(budget, now))
  till.book = createBook(budgets, spent, now)
  till.open.clear()
  till.hold_ids.clear()
  for (const row of store.listOpen()) remember(till, row)
}

import type { Admission, AdmitRequest, Settlement } from './admission.ts'
import type { GateStore } from './gate-store.ts'
import { admit, release, settle } from './hold.ts'
import { refresh, type Till } from './till.ts'

export type Operation =
  | { readonly kind: 'admit'; readonly request: AdmitRequest }
  | { readonly kind: 'settle'; readonly settlement: Settlement }
  | { readonly kind: 'release'; readonly hold_id: string }

/** All operations in one transaction; the results in their order. Throws with nothing done. */
export function run(
  till: Till,
  operations: readonly Operation[],
  now: number,
): (Admission | undefined)[] {
  till.charged = new Map()
  till.is_changed = false
  till.store.begin()
  try {
    refresh(till, now)
    const results = operations.map((one) => apply(till, one, now))
    commit(till)
    return results
  } catch (error) {
    // The book may be ahead of the store now; it is read anew before it is used again.
    till.is_stale = true
    rollBack(till.store)
    throw error
  }
}

function apply(till: Till, operation: Operation, now: number): Admission | undefined {
  if (operation.kind === 'admit') return admit(till, operation.request, now)
  if (operation.kind === 'settle') settle(till, operation.settlement, now)
  else release(till, operation.hold_id, now)
  return undefined
}

function commit(till: Till): void {
  const { store, charged, is_changed, seen } = till
  const revision = seen.revision + 1
  for (const row of charged.values()) store.addSpent(row, revision)
  if (is_changed) store.bumpRevision()
  store.commit()
  if (is_changed) till.seen = { ...seen, revision }
}

function rollBack(store: GateStore): void {
  try {
    store.rollback()
  } catch {
    // Some failures have ended the transaction already: https://www.sqlite.org/lang_transaction.html
  }
}

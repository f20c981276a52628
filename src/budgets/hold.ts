import type { UsageEvent } from '../ledger/event.ts'
import type { Nanos } from '../money.ts'
import type { Admission, AdmitRequest, Settlement, Subject } from './admission.ts'
import { charge, forget, remember, type Till } from './till.ts'

/** What happens to a hold, each inside the till's transaction. */

export function admit(till: Till, request: AdmitRequest, now: number): Admission {
  const { book } = till
  const { subject, bound_nanos, request_id } = request
  const tightest = book.tightest(book.bind(subject), now)
  if (!tightest) return { kind: 'admitted', hold_id: null, remaining_nanos: null }
  const { rest_nanos: rest, binding } = tightest
  const known = till.hold_ids.get(request_id)
  if (known) return { kind: 'admitted', hold_id: known, remaining_nanos: rest }
  const denied = { kind: 'denied', affordable_nanos: rest > 0n ? rest : 0n } as const
  if (bound_nanos === null)
    return { ...denied, reason: 'unbounded', budget: book.state(binding, now) }
  // What costs nothing passes even where a lowered limit is overspent.
  if (bound_nanos > 0n && bound_nanos > rest)
    return { ...denied, reason: 'budget_exceeded', budget: book.state(binding, now) }
  const hold_id = open(till, { ...request, bound_nanos }, now)
  return { kind: 'admitted', hold_id, remaining_nanos: rest - bound_nanos }
}

function open(till: Till, request: AdmitRequest & { bound_nanos: Nanos }, now: number): string {
  const { request_id, subject, bound_nanos, deadline_at } = request
  const row = {
    request_id,
    subject,
    bound_nanos,
    state: 'open',
    charged_nanos: null,
    admitted_at: now,
  } as const
  const hold_id = till.store.insertHold({
    ...row,
    owner: till.owner,
    deadline_at,
    settled_at: null,
    entry_id: null,
  })
  remember(till, { ...row, hold_id })
  till.is_changed = true
  return hold_id
}

/** A hold that was taken for lost is settled all the same, with what it cost in the end. */
export function settle(till: Till, settlement: Settlement, now: number): void {
  const { hold_id, event, cost_nanos } = settlement
  if (hold_id === null) {
    settleUnheld(till, settlement, now)
    return
  }
  const held = till.open.get(hold_id)
  const hold = held ?? till.store.findHold(hold_id)
  record(till, settlement, hold !== undefined, now)
  if (!hold || hold.state === 'settled') return
  if (hold.state === 'uncertain' && cost_nanos === null) return
  if (held) forget(till, held)
  const cost = cost_nanos ?? hold.bound_nanos
  if (cost > hold.bound_nanos) till.onOvershoot(hold, cost)
  const { book } = till
  const targets = held?.targets ?? book.targets(book.bind(hold.subject), hold.admitted_at)
  charge(till, targets, cost - (hold.charged_nanos ?? 0n))
  till.store.finishHold(hold_id, {
    state: cost_nanos === null ? 'uncertain' : 'settled',
    charged_nanos: cost,
    settled_at: now,
    entry_id: event.id,
  })
  till.is_changed = true
}

/** Nothing bound when it was admitted, but something may now: what it cost is a fact. */
function settleUnheld(till: Till, settlement: Settlement, now: number): void {
  const { event, cost_nanos: cost } = settlement
  const { book } = till
  const subject = subjectOfEvent(event)
  const bindings = cost === null ? [] : book.bind(subject)
  const is_new = record(till, settlement, bindings.length > 0, now)
  if (!is_new || cost === null || bindings.length === 0) return
  charge(till, book.targets(bindings, event.occurred_at), cost)
  till.store.insertHold({
    request_id: event.id,
    owner: till.owner,
    state: 'settled',
    bound_nanos: cost,
    charged_nanos: cost,
    admitted_at: event.occurred_at,
    deadline_at: now,
    settled_at: now,
    entry_id: event.id,
    subject,
  })
}

/** Tells whether the request's own entry is new. */
function record(
  { store }: Till,
  { event, beside = [] }: Settlement,
  is_held: boolean,
  now: number,
): boolean {
  const is_new = store.recordEvent(event, now, is_held)
  for (const one of beside) store.recordEvent(one, now, is_held)
  return is_new
}

/** The request never left. */
export function release(till: Till, hold_id: string, now: number): void {
  const held = till.open.get(hold_id)
  if (!held) return
  forget(till, held)
  const end = { state: 'released', charged_nanos: null, entry_id: null } as const
  till.store.finishHold(hold_id, { ...end, settled_at: now })
}

function subjectOfEvent(event: UsageEvent): Subject {
  const { provider, model, user, session_id, tags } = event
  const { wrapped_key = null, workspace = null } = event
  return { provider, model, wrapped_key, workspace, user, session: session_id, tags }
}

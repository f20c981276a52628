import type { UsageEvent } from '../ledger/event.ts'
import type { Nanos } from '../money.ts'

/** Whom a request is charged to: everything that a budget's scope can name. */
export type Subject = {
  readonly provider: string
  readonly model: string
  readonly wrapped_key: string | null
  readonly workspace: string | null
  readonly user: string | null
  readonly session: string | null
  readonly tags: Readonly<Record<string, string>>
}

export type AdmitRequest = {
  /** Ours, one for each forwarded request; the hold's identity. */
  readonly request_id: string
  readonly subject: Subject
  /** The most that the request can cost; null when that is unknown (unpriced model, unmetered route). */
  readonly bound_nanos: Nanos | null
  /** When the request is certainly over at the provider: from then on a crashed owner's hold can heal. */
  readonly deadline_at: number
}

/** A blocking budget as its own refusal tells it. */
export type BudgetState = {
  readonly budget_id: string
  readonly name: string
  readonly limit_nanos: Nanos
  readonly spent_nanos: Nanos
  readonly held_nanos: Nanos
  /** Null for a budget over the whole lifetime. */
  readonly resets_at: number | null
}

export type Admission =
  | {
      readonly kind: 'admitted'
      /** Null when no blocking budget binds: nothing is held. */
      readonly hold_id: string | null
      /** The tightest rest after the hold: what a clamp or a cut can go by. Null without a blocking budget. */
      readonly remaining_nanos: Nanos | null
    }
  | {
      readonly kind: 'denied'
      /** `unbounded`: a blocking budget binds and the bound is unknown. `unavailable`: the store cannot hold now. */
      readonly reason: 'budget_exceeded' | 'unbounded' | 'unavailable'
      /** The budget that denies, or the tightest one. */
      readonly budget: BudgetState | null
      /** What could still be held; for a clamp. */
      readonly affordable_nanos: Nanos
    }

/** How a forwarded request ended. */
export type Settlement = {
  readonly hold_id: string | null
  /** The ledger entry of the request: always, whatever its quality. */
  readonly event: UsageEvent
  /**
   * Entries that the same request is billed with, under ids `<event.id>.<n>`. Their cost is in `cost_nanos`
   * too: settled later, it could find the room that the hold gave back taken.
   */
  readonly beside?: readonly UsageEvent[]
  /** What the blocking budgets are charged; null: unknown, so that the whole hold stays charged. */
  readonly cost_nanos: Nanos | null
}

/** The proxy's only way to budgets and ledger. All commits are grouped per turn of the event loop. */
export type Gate = {
  /** Holds the bound in every blocking budget that binds, in one transaction, committed when it returns. */
  admit(request: AdmitRequest): Promise<Admission>
  /** Books the event and turns the hold into what it cost, in one transaction. Twice changes nothing. */
  settle(settlement: Settlement): Promise<void>
  /** The request never left: the hold goes, nothing is charged. */
  release(hold_id: string): Promise<void>
  close(): Promise<void>
}

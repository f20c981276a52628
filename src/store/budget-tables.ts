import type { Generated } from 'kysely'
import type { NanosColumn } from './money-column.ts'

/** Keys, budgets and holds: a part of the `Database`. */
export type BudgetTables = {
  revision: { name: RevisionName; value: number }
  upstream_key: UpstreamKeyTable
  wrapped_key: WrappedKeyTable
  secret_page: SecretPageTable
  plan: PlanTable
  budget: BudgetTable
  hold: HoldTable
  hold_owner: { id: string; pid: number; hostname: string; started_at: number }
  budget_spent: BudgetSpentTable
  budget_crossing: BudgetCrossingTable
  pruned_charge: PrunedChargeTable
  budget_mirror: BudgetMirrorTable
}

/** `budgets` grows with every hold and charge too, `budget_list` with the budgets themselves alone. */
export type RevisionName = 'budgets' | 'budget_list' | 'keys'

export type UpstreamKeyTable = {
  id: string
  /** A provider's id, or the name of an OpenAI-compatible server. */
  provider: string
  name: string
  is_compat: number
  base_url: string | null
  /** Whose requests it serves; null: all that have no key of their own. */
  workspace: string | null
  sealed_key: string | null
  fingerprint: string
  key_hash: string | null
  created_at: number
  updated_at: number
  removed_at: number | null
}

export type WrappedKeyTable = {
  id: string
  name: string
  secret_hash: string
  /** Secrets before the last rotations that are still good, as `<hash>@<until>`; the last goes at `former_until`. */
  former_hash: string | null
  former_until: number | null
  /** JSON lists and a JSON map. */
  providers: string
  models: string
  addresses: string
  tags: string
  user: string | null
  workspace: string | null
  on_limit: 'refuse' | 'clamp'
  on_abort: 'stop' | 'drain'
  requests_per_minute: number | null
  tokens_per_minute: number | null
  concurrent_requests: number | null
  created_at: number
  updated_at: number
  expires_at: number | null
  paused_at: number | null
  revoked_at: number | null
  last_used_at: number | null
}

type SecretPageTable = {
  nonce_hash: string
  title: string
  sealed_secret: string | null
  created_at: number
  expires_at: number
  shown_at: number | null
}

type PlanTable = {
  id: string
  /** What was planned, as canonical JSON: the second call must ask for the same. */
  deed: string
  created_at: number
  expires_at: number
  used_at: number | null
}

type BudgetTable = {
  id: string
  name: string
  scope: string
  scope_value: string
  period: string
  zone: string
  /** 1 is Monday. */
  week_start: number
  limit_nanos: NanosColumn
  action: 'notify' | 'block'
  /** A JSON list of whole percents. */
  thresholds: string
  created_at: number
  updated_at: number
  removed_at: number | null
}

type SubjectColumns = {
  provider: string
  model: string
  wrapped_key: string | null
  workspace: string | null
  user: string | null
  session_id: string | null
  tags: string
}

type HoldTable = SubjectColumns & {
  id: Generated<number>
  request_id: string
  owner: string
  /** `uncertain`: over, and charged with the whole bound until evidence says less. */
  state: 'open' | 'settled' | 'uncertain' | 'released'
  bound_nanos: NanosColumn
  charged_nanos: NanosColumn<null>
  admitted_at: number
  deadline_at: number
  settled_at: number | null
  entry_id: string | null
}

export type BudgetMirrorTable = {
  budget_id: string
  connection_id: string
  workspace: string | null
  set_cents: number
  seen_cents: number | null
  seen_at: number
}

/** What holds that were deleted charged beyond their ledger entries; below 0 where that was less. */
type PrunedChargeTable = SubjectColumns & { minute: number; nanos: NanosColumn }

type BudgetSpentTable = {
  budget_id: string
  /** Which one of a scope whose members have a limit each; else ''. */
  member: string
  bucket_start: number
  spent_nanos: NanosColumn
  /** The one of `budgets` that it was last charged with. */
  revision: Generated<number>
}

type BudgetCrossingTable = {
  budget_id: string
  member: string
  window_start: number
  percent: number
  crossed_at: number
  used_nanos: NanosColumn
  limit_nanos: NanosColumn
}

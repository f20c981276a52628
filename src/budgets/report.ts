import { sql } from 'kysely'
import { DAY_MS, isoTime } from '../clock.ts'
import type { Nanos } from '../money.ts'
import { usdFromNanos } from '../money.ts'
import { nanos } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { Budget } from './budget.ts'
import { listBudgets } from './budget.ts'
import { isUnsettled } from './hold-state.ts'
import { findMirror, type Mirror, nanosOfCents } from './mirror.ts'
import { sumNoticed } from './noticed.ts'
import { hasMembers, scopeMatcher } from './scope.ts'
import { type SubjectRow, subjectOf } from './spent.ts'
import { rollingMs, type Window, windowAt } from './window.ts'

/** What one budget, or one member of it, has used of its running window. */
export type Use = {
  readonly member: string
  readonly spent_nanos: Nanos
  readonly held_nanos: Nanos
  /** The part of `spent_nanos` that is charged without being known to be owed. */
  readonly uncertain_nanos: Nanos
}

export type BudgetUse = {
  readonly budget: Budget
  readonly window: Window
  /** The most used first; never empty. */
  readonly uses: readonly Use[]
  /** Thresholds that were recorded as passed in the window, under the limit of today. */
  readonly crossed: readonly Crossed[]
  readonly mirror: Mirror | undefined
}

export type Crossed = { readonly member: string; readonly percent: number; readonly at: number }

export type BudgetReport = {
  readonly id: string
  readonly name: string
  readonly scope: string
  readonly scope_value: string
  readonly period: string
  readonly timezone: string
  readonly action: 'notify' | 'block'
  /** Of a budget whose members have a limit each: the member that has used most. */
  readonly member?: string
  readonly limit_usd: string
  readonly spent_usd: string
  readonly held_usd: string
  readonly remaining_usd: string
  readonly used_percent: number
  readonly state: 'ok' | 'near' | 'exhausted'
  readonly thresholds: readonly number[]
  /** The highest threshold that was passed in this window, and when. */
  readonly passed_percent?: number
  readonly passed_at?: string
  readonly window_start: string
  readonly resets_at: string | null
  readonly uncertain_usd?: string
  readonly at_this_rate_usd: string | null
  readonly runs_out_at: string | null
  /** The provider's own monthly limit that mirrors this one, as it was last seen; null: it is gone. */
  readonly provider_limit_usd?: string | null
  /** How much it is above what was set there; below 0 under it. Null where it is gone. */
  readonly provider_limit_drift_usd?: string | null
  readonly provider_limit_seen_at?: string
  /** What `spent_usd` counts. */
  readonly counts: string
}

const MEMBERS_MAX = 1_000
/** Before this much of a window is over, a rate says nothing. */
const RATE_SHARE_MIN = 0.02

export async function listBudgetUses(
  db: Db,
  now: number,
  which: { action?: Budget['action'] } = {},
): Promise<BudgetUse[]> {
  const budgets = await listBudgets(db, which)
  const open = budgets.some(({ action }) => action === 'block') ? await listOpen(db) : []
  const uses: BudgetUse[] = []
  for (const budget of budgets) uses.push(await useOf(db, budget, now, open))
  return uses
}

export async function findBudgetUse(db: Db, budget: Budget, now: number): Promise<BudgetUse> {
  return useOf(db, budget, now, budget.action === 'block' ? await listOpen(db) : [])
}

export function describeUse(
  { budget, window, uses, crossed, mirror }: BudgetUse,
  now: number,
): BudgetReport {
  const use = uses[0] ?? NO_USE
  const { limit_nanos } = budget
  const used = use.spent_nanos + use.held_nanos
  const rest = limit_nanos > used ? limit_nanos - used : 0n
  const rate = rateOf(budget, window, use.spent_nanos, now)
  return {
    id: budget.id,
    name: budget.name,
    scope: budget.scope.kind,
    scope_value: budget.scope.value,
    period: budget.period,
    timezone: budget.zone,
    action: budget.action,
    ...(hasMembers(budget.scope) ? { member: use.member } : {}),
    limit_usd: usdFromNanos(limit_nanos),
    spent_usd: usdFromNanos(use.spent_nanos),
    held_usd: usdFromNanos(use.held_nanos),
    remaining_usd: usdFromNanos(rest),
    used_percent: percentOf(used, limit_nanos),
    state: stateOf(budget, used),
    thresholds: budget.thresholds,
    ...passedOf(crossed.filter(({ member }) => member === use.member)),
    window_start: isoTime(window.start),
    resets_at: window.end === null ? null : isoTime(window.end),
    ...(use.uncertain_nanos > 0n ? { uncertain_usd: usdFromNanos(use.uncertain_nanos) } : {}),
    ...rate,
    ...mirrorOf(mirror),
    counts:
      budget.action === 'block'
        ? 'requests through the proxy; a request that goes around it is not stopped and not counted'
        : 'all sources, as get_spend counts them',
  }
}

function mirrorOf(mirror: Mirror | undefined) {
  if (!mirror) return {}
  const { set_cents, seen_cents, seen_at } = mirror
  const usd = (cents: number) => usdFromNanos(nanosOfCents(cents))
  return {
    provider_limit_usd: seen_cents === null ? null : usd(seen_cents),
    provider_limit_drift_usd: seen_cents === null ? null : usd(seen_cents - set_cents),
    provider_limit_seen_at: isoTime(seen_at),
  }
}

function passedOf(crossed: readonly Crossed[]) {
  const [first, ...others] = crossed
  if (!first) return {}
  const highest = others.reduce((best, one) => (one.percent > best.percent ? one : best), first)
  return { passed_percent: highest.percent, passed_at: isoTime(highest.at) }
}

/** Two decimals, rounded down: 99.99 is not yet 100. */
export function percentOf(used: Nanos, limit: Nanos): number {
  if (limit === 0n) return used > 0n ? 100 : 0
  return Number((used * 10_000n) / limit) / 100
}

const NO_USE: Use = { member: '', spent_nanos: 0n, held_nanos: 0n, uncertain_nanos: 0n }

function stateOf({ limit_nanos, thresholds }: Budget, used: Nanos): BudgetReport['state'] {
  if (used >= limit_nanos) return 'exhausted'
  const first = thresholds.find((percent) => percent >= NEAR_PERCENT) ?? NEAR_PERCENT
  return used * 100n >= limit_nanos * BigInt(first) ? 'near' : 'ok'
}

const NEAR_PERCENT = 80

/** As if the rest of the window went on as it began. */
function rateOf(budget: Budget, { start, end }: Window, spent: Nanos, now: number) {
  const none = { at_this_rate_usd: null, runs_out_at: null }
  if (end === null || now <= start) return none
  const elapsed = BigInt(now - start)
  const length = BigInt(end - start)
  if (Number(elapsed) / Number(length) < RATE_SHARE_MIN) return none
  const projected = (spent * length) / elapsed
  const runs_out =
    spent > 0n && projected > budget.limit_nanos
      ? isoTime(Math.max(now, start + Number((budget.limit_nanos * elapsed) / spent)))
      : null
  return { at_this_rate_usd: usdFromNanos(projected), runs_out_at: runs_out }
}

async function useOf(
  db: Db,
  budget: Budget,
  now: number,
  open: readonly OpenRow[],
): Promise<BudgetUse> {
  const window = windowAt(budget, now)
  const uses =
    budget.action === 'block'
      ? await listHeld(db, budget, window, open)
      : await listNoticed(db, budget, window, now)
  const ordered = uses.sort((a, b) =>
    compare(b.spent_nanos + b.held_nanos, a.spent_nanos + a.held_nanos),
  )
  return {
    budget,
    window,
    uses: ordered.length > 0 ? ordered.slice(0, MEMBERS_MAX) : [NO_USE],
    crossed: await listCrossed(db, budget, window),
    mirror: await findMirror(db, budget.id),
  }
}

async function listCrossed(db: Db, budget: Budget, window: Window): Promise<Crossed[]> {
  return db
    .selectFrom('budget_crossing')
    .select(['member', 'percent', 'crossed_at as at'])
    .where('budget_id', '=', budget.id)
    .where('crossed_at', '>=', window.start)
    .where(sql<boolean>`limit_nanos = ${budget.limit_nanos}`)
    .execute()
}

async function listNoticed(db: Db, budget: Budget, window: Window, now: number): Promise<Use[]> {
  const end_at = Math.min(window.end ?? now + 1, now + DAY_MS)
  const sums = await sumNoticed(db, budget, { start_at: window.start, end_at })
  return [...sums].map(([member, spent_nanos]) => ({ ...NO_USE, member, spent_nanos }))
}

/** The same sums as the gate's, from the rows alone. */
async function listHeld(
  db: Db,
  budget: Budget,
  window: Window,
  open: readonly OpenRow[],
): Promise<Use[]> {
  const spent = await db
    .selectFrom('budget_spent')
    .select(['member', nanos('spent_nanos').as('spent')])
    .where('budget_id', '=', budget.id)
    .where('bucket_start', '>=', window.start)
    .execute()
  const uses = new Map<string, Use>()
  const add = (member: string, more: Partial<Use>) => {
    const { spent_nanos, held_nanos, uncertain_nanos } = uses.get(member) ?? NO_USE
    uses.set(member, {
      member,
      spent_nanos: spent_nanos + (more.spent_nanos ?? 0n),
      held_nanos: held_nanos + (more.held_nanos ?? 0n),
      uncertain_nanos: uncertain_nanos + (more.uncertain_nanos ?? 0n),
    })
  }
  for (const row of spent) add(row.member, { spent_nanos: BigInt(row.spent) })
  const match = scopeMatcher(budget.scope)
  const is_rolling = rollingMs(budget.period) !== undefined
  for (const row of open) {
    const member = match(subjectOf(row))
    const is_within =
      row.admitted_at >= window.start && (window.end === null || row.admitted_at < window.end)
    if (member === undefined) continue
    if (row.state === 'uncertain' && is_within) add(member, { uncertain_nanos: BigInt(row.bound) })
    if (row.state === 'open' && (is_within || is_rolling))
      add(member, { held_nanos: BigInt(row.bound) })
  }
  return [...uses.values()]
}

type OpenRow = SubjectRow & {
  readonly state: string
  readonly bound: string
  readonly admitted_at: number
}

async function listOpen(db: Db): Promise<OpenRow[]> {
  return db
    .selectFrom('hold')
    .select([
      'state',
      nanos('bound_nanos').as('bound'),
      'admitted_at',
      'provider',
      'model',
      'wrapped_key',
      'workspace',
      'user',
      'session_id',
      'tags',
    ])
    .where(isUnsettled)
    .execute()
}

function compare(a: Nanos, b: Nanos): number {
  return a > b ? 1 : a < b ? -1 : 0
}

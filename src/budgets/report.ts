import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type RawBuilder, sql } from 'kysely'
import { DAY_MS, isoTime } from '../clock.ts'
import type { Nanos } from '../money.ts'
import { usdFromNanos } from '../money.ts'
import type { Db } from '../store/schema.ts'
import type { Subject } from './admission.ts'
import type { Budget } from './budget.ts'
import { listBudgets } from './budget.ts'
import { listMirrors, type Mirror, nanosOfCents } from './mirror.ts'
import { sumNoticed } from './noticed.ts'
import { hasMembers } from './scope.ts'
import { listHeld, NO_USE, type Use } from './use.ts'
import { type Window, windowAt } from './window.ts'

export type BudgetUse = {
  readonly budget: Budget
  readonly window: Window
  /** The most used first; never empty. Of very many members not all. */
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
  /** Of the wrapped key that is counted. */
  readonly key_name?: string
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

/** Before this much of a window is over, a rate says nothing. */
const RATE_SHARE_MIN = 0.02

export async function listBudgetUses(
  db: Db,
  now: number,
  { action, subjects = [] }: { action?: Budget['action']; subjects?: readonly Subject[] } = {},
): Promise<BudgetUse[]> {
  return listUses(db, await listBudgets(db, action && { action }), now, subjects)
}

export async function findBudgetUse(
  db: Db,
  budget: Budget,
  now: number,
  subject?: Subject,
): Promise<BudgetUse> {
  const [use] = await listUses(db, [budget], now, subject ? [subject] : [])
  assert(use, 'a budget has its use')
  return use
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

/** Of all budgets at once: there can be thousands, and they are looked at every other second. */
async function listUses(
  db: Db,
  budgets: readonly Budget[],
  now: number,
  subjects: readonly Subject[],
): Promise<BudgetUse[]> {
  const windows = new Map(budgets.map((budget) => [budget.id, windowAt(budget, now)]))
  const wanted = sql`json_each(${JSON.stringify([...windows].map(([id, { start }]) => [id, start]))})`
  const held = await listHeld(db, budgets, wanted, { now, subjects })
  const crossed = Map.groupBy(await listCrossed(db, wanted), ({ budget_id }) => budget_id)
  const mirrors = new Map((await listMirrors(db)).map((mirror) => [mirror.budget_id, mirror]))
  const all: BudgetUse[] = []
  for (const budget of budgets) {
    const { id, action } = budget
    const window = windows.get(id) ?? windowAt(budget, now)
    const uses =
      action === 'block'
        ? [...(held.get(id)?.values() ?? [])]
        : await listNoticed(db, budget, window, now)
    all.push({
      budget,
      window,
      uses: mostUsed(uses),
      crossed: crossed.get(id) ?? [],
      mirror: mirrors.get(id),
    })
  }
  return all
}

function mostUsed(uses: Use[]): Use[] {
  const ordered = uses.sort((a, b) =>
    compare(b.spent_nanos + b.held_nanos, a.spent_nanos + a.held_nanos),
  )
  return ordered.length > 0 ? ordered : [NO_USE]
}

/** `wanted` are pairs of a budget's id and the start of its window. */
async function listCrossed(
  db: Db,
  wanted: RawBuilder<unknown>,
): Promise<(Crossed & { readonly budget_id: string })[]> {
  const { rows } = await sql<Crossed & { readonly budget_id: string }>`
    select budget_id, member, percent, crossed_at as at
    from ${wanted} as wanted cross join budget_crossing on budget_id = wanted.value ->> 0
    join budget on budget.id = budget_id and budget.limit_nanos = budget_crossing.limit_nanos
    where crossed_at >= wanted.value ->> 1`.execute(db)
  return rows
}

async function listNoticed(db: Db, budget: Budget, window: Window, now: number): Promise<Use[]> {
  // Each is a sum of its own; what else this process does goes on between them.
  await nextTurn()
  const end_at = Math.min(window.end ?? now + 1, now + DAY_MS)
  const sums = await sumNoticed(db, budget, { start_at: window.start, end_at })
  return [...sums].map(([member, spent_nanos]) => ({ ...NO_USE, member, spent_nanos }))
}

function compare(a: Nanos, b: Nanos): number {
  return a > b ? 1 : a < b ? -1 : 0
}

import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type RawBuilder, sql } from 'kysely'
import { DAY_MS, isoTime } from '../clock.ts'
import type { Nanos } from '../money.ts'
import { usdFromNanos } from '../money.ts'
import { nanos } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { Subject } from './admission.ts'
import { createBook } from './book.ts'
import type { Budget } from './budget.ts'
import { listBudgets } from './budget.ts'
import { isUnsettled } from './hold-state.ts'
import { listMirrors, type Mirror, nanosOfCents } from './mirror.ts'
import { sumNoticed } from './noticed.ts'
import { hasMembers } from './scope.ts'
import { type SubjectRow, subjectOf } from './spent.ts'
import { type Window, windowAt } from './window.ts'

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

/** Of budgets that give each member a limit, so many are looked at, and those that are asked for. */
const MEMBERS_MAX = 1_000
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

export const NO_USE: Use = { member: '', spent_nanos: 0n, held_nanos: 0n, uncertain_nanos: 0n }

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

/** The same sums as the gate's, from the rows alone: of each blocking budget, by member. */
async function listHeld(
  db: Db,
  budgets: readonly Budget[],
  wanted: RawBuilder<unknown>,
  { now, subjects }: { now: number; subjects: readonly Subject[] },
): Promise<Map<string, Map<string, Use>>> {
  const blocking = budgets.filter(({ action }) => action === 'block')
  const all = new Map(blocking.map(({ id }) => [id, new Map<string, Use>()]))
  const add = (budget_id: string, member: string, more: Partial<Use>) => {
    const uses = all.get(budget_id)
    const { spent_nanos, held_nanos, uncertain_nanos } = uses?.get(member) ?? NO_USE
    uses?.set(member, {
      member,
      spent_nanos: spent_nanos + (more.spent_nanos ?? 0n),
      held_nanos: held_nanos + (more.held_nanos ?? 0n),
      uncertain_nanos: uncertain_nanos + (more.uncertain_nanos ?? 0n),
    })
  }
  if (blocking.length === 0) return all
  const book = createBook(blocking, [], now)
  for (const { state, bound, admitted_at, ...row } of await listOpen(db)) {
    for (const { line, member } of book.bind(subjectOf(row))) {
      const { budget, rolling_ms, window } = line
      const { start, end } = window
      const is_within = admitted_at >= start && (end === null || admitted_at < end)
      if (state === 'uncertain' && is_within)
        add(budget.id, member, { uncertain_nanos: BigInt(bound) })
      if (state === 'open' && (is_within || rolling_ms !== undefined))
        add(budget.id, member, { held_nanos: BigInt(bound) })
    }
  }
  const asked = [
    ...[...all].flatMap(([id, uses]) => [...uses.keys()].map((member) => [id, member])),
    ...subjects
      .flatMap((one) => book.bind(one))
      .map(({ line, member }) => [line.budget.id, member]),
  ]
  for (const { budget_id, member, spent } of await listSpent(db, wanted, asked))
    add(budget_id, member, { spent_nanos: BigInt(spent) })
  return all
}

type SpentSum = { readonly budget_id: string; readonly member: string; readonly spent: string }

/** Of a budget with very many members those that spent most, and those that are asked for. */
async function listSpent(
  db: Db,
  wanted: RawBuilder<unknown>,
  asked: readonly (readonly string[])[],
): Promise<SpentSum[]> {
  const { rows } = await sql<SpentSum>`
    select budget_id, member, cast(spent as text) as spent from (
      select budget_id, member, sum(spent_nanos) as spent,
        row_number() over (partition by budget_id order by sum(spent_nanos) desc) as place
      from ${wanted} as wanted cross join budget_spent
        on budget_id = wanted.value ->> 0 and bucket_start >= wanted.value ->> 1
      group by budget_id, member)
    where place <= ${MEMBERS_MAX} or (budget_id, member) in (
      select value ->> 0, value ->> 1 from json_each(${JSON.stringify(asked)}))`.execute(db)
  return rows
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

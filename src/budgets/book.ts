import assert from 'node:assert/strict'
import { MINUTE_MS } from '../clock.ts'
import type { Nanos } from '../money.ts'
import type { BudgetState, Subject } from './admission.ts'
import type { Budget } from './budget.ts'
import { hasMembers, type ScopeKind, type ScopeMatcher, scopeMatcher, tagOf } from './scope.ts'
import { bucketAt, isPast, ROLLING_BUCKET_MS, rollingMs, type Window, windowAt } from './window.ts'

/**
 * The blocking budgets with what each has spent and holds, in memory. It mirrors the store exactly as
 * long as nobody else writes; the gate compares before it believes.
 */
export type Book = {
  readonly has_budgets: boolean
  /** The budgets that a request is charged to. */
  bind(subject: Subject): Binding[]
  targets(bindings: readonly Binding[], at: number): Target[]
  /** The binding that leaves the least; undefined without one. */
  tightest(bindings: readonly Binding[], now: number): Tightest | undefined
  hold(targets: readonly Target[], amount: Nanos): void
  charge(targets: readonly Target[], amount: Nanos): void
  /** What the store says that a bucket has spent, whatever was known of it. */
  setSpent(row: SpentRow): void
  state(binding: Binding, now: number): BudgetState
}

export type Binding = { readonly line: Line; readonly member: string }
/** A bucket of one budget's member: where a hold is held and where it is charged. */
export type Target = Binding & { readonly bucket_start: number }
export type Tightest = { readonly binding: Binding; readonly rest_nanos: Nanos }

type Line = {
  readonly budget: Budget
  readonly match: ScopeMatcher
  readonly rolling_ms: number | undefined
  window: Window
  readonly tallies: Map<string, Tally>
}

/** By bucket. A rolling budget's holds count whatever their age: they are not over yet. */
type Tally = {
  readonly spent: Map<number, Nanos>
  readonly held: Map<number, Nanos>
  rolling_spent: Nanos
  rolling_held: Nanos
  oldest: number
}

export type SpentRow = {
  readonly budget_id: string
  readonly member: string
  readonly bucket_start: number
  readonly spent_nanos: Nanos
}

export function createBook(
  budgets: readonly Budget[],
  spent: readonly SpentRow[],
  now: number,
): Book {
  const lines = budgets.map((budget) => createLine(budget, now))
  const by_id = new Map(lines.map((line) => [line.budget.id, line]))
  const setSpent = ({ budget_id, member, bucket_start, spent_nanos }: SpentRow) => {
    const line = by_id.get(budget_id)
    if (!line) return
    const known = line.tallies.get(member)?.spent.get(bucket_start) ?? 0n
    addSpent(line, { line, member, bucket_start }, spent_nanos - known)
  }
  for (const row of spent) setSpent(row)
  const candidates = indexLines(lines)
  return {
    has_budgets: lines.length > 0,
    bind: (subject) => bindLines(candidates(subject), subject),
    targets: (bindings, at) => bindings.map((one) => targetOf(one, at)),
    tightest: (bindings, at) => findTightest(bindings, at),
    hold(targets, amount) {
      for (const target of targets) addHeld(target.line, target, amount)
    },
    charge(targets, amount) {
      for (const target of targets) addSpent(target.line, target, amount)
    },
    setSpent,
    state: stateOf,
  }
}

function createLine(budget: Budget, now: number): Line {
  return {
    budget,
    match: scopeMatcher(budget.scope),
    rolling_ms: rollingMs(budget.period),
    window: windowAt(budget, now),
    tallies: new Map(),
  }
}

function bindLines(lines: readonly Line[], subject: Subject): Binding[] {
  const bindings: Binding[] = []
  for (const line of lines) {
    const member = line.match(subject)
    if (member !== undefined) bindings.push({ line, member })
  }
  return bindings
}

/** Of very many budgets, each of one key or user, a request meets a few: those are found by their value. */
function indexLines(lines: readonly Line[]): (subject: Subject) => readonly Line[] {
  const exact = new Map<string, Line[]>()
  const others: Line[] = []
  for (const line of lines) {
    const { kind, value } = line.budget.scope
    if (kind === 'all' || value.includes('*')) others.push(line)
    else appendTo(exact, exactKey(kind, value), line)
  }
  if (exact.size === 0) return () => others
  const kinds = new Set([...exact.keys()].map((key) => key.slice(0, key.indexOf(':'))))
  return (subject) => {
    const found = [...others]
    const add = (kind: ScopeKind, value: string | null) => {
      if (value === null || !kinds.has(kind)) return
      const more = exact.get(exactKey(kind, value))
      if (more) found.push(...more)
    }
    add('provider', subject.provider)
    add('model', subject.model)
    add('wrapped_key', subject.wrapped_key)
    add('workspace', subject.workspace)
    add('user', subject.user)
    add('session', subject.session)
    if (kinds.has('tag')) for (const key in subject.tags) add('tag', `${key}=${subject.tags[key]}`)
    return found
  }
}

function appendTo(index: Map<string, Line[]>, key: string, line: Line): void {
  const known = index.get(key)
  if (known) known.push(line)
  else index.set(key, [line])
}

/** A tag's key keeps its case, as it does where tags are read. */
function exactKey(kind: ScopeKind, value: string): string {
  if (kind !== 'tag') return `${kind}:${value.toLowerCase()}`
  const tag = tagOf(value)
  return `tag:${tag.key}=${tag.value.toLowerCase()}`
}

function targetOf({ line, member }: Binding, at: number): Target {
  const { start, end } = windowNow(line, at)
  const is_current = line.rolling_ms === undefined && at >= start && (end === null || at < end)
  return { line, member, bucket_start: is_current ? start : bucketAt(line.budget, at) }
}

/** The running window; the buckets of the one before go when it begins. */
function windowNow(line: Line, now: number): Window {
  const { end } = line.window
  if (line.rolling_ms !== undefined || end === null || now < end) return line.window
  line.window = windowAt(line.budget, now)
  for (const [member, tally] of line.tallies) {
    for (const bucket of tally.spent.keys())
      if (bucket < line.window.start) tally.spent.delete(bucket)
    if (tally.spent.size === 0 && tally.held.size === 0) line.tallies.delete(member)
  }
  return line.window
}

function findTightest(bindings: readonly Binding[], now: number): Tightest | undefined {
  let tightest: Tightest | undefined
  for (const binding of bindings) {
    const { spent, held } = usedOf(binding, now)
    const rest_nanos = binding.line.budget.limit_nanos - spent - held
    if (!tightest || rest_nanos < tightest.rest_nanos) tightest = { binding, rest_nanos }
  }
  return tightest
}

type Used = { readonly spent: Nanos; readonly held: Nanos }

function usedOf({ line, member }: Binding, now: number): Used {
  const tally = line.tallies.get(member)
  if (!tally) return { spent: 0n, held: 0n }
  if (line.rolling_ms === undefined) {
    const { start } = windowNow(line, now)
    return { spent: tally.spent.get(start) ?? 0n, held: tally.held.get(start) ?? 0n }
  }
  dropPast(tally, line.rolling_ms, now)
  return { spent: tally.rolling_spent, held: tally.rolling_held }
}

function dropPast(tally: Tally, rolling_ms: number, now: number): void {
  if (!isPast(tally.oldest, rolling_ms, now)) return
  tally.oldest = Number.POSITIVE_INFINITY
  for (const [bucket, amount] of tally.spent) {
    if (isPast(bucket, rolling_ms, now)) {
      tally.rolling_spent -= amount
      tally.spent.delete(bucket)
    } else tally.oldest = Math.min(tally.oldest, bucket)
  }
}

function addSpent(line: Line, { member, bucket_start }: Target, amount: Nanos): void {
  const tally = tallyOf(line, member)
  tally.spent.set(bucket_start, (tally.spent.get(bucket_start) ?? 0n) + amount)
  if (line.rolling_ms === undefined) return
  tally.rolling_spent += amount
  tally.oldest = Math.min(tally.oldest, bucket_start)
}

function addHeld(line: Line, { member, bucket_start }: Target, amount: Nanos): void {
  const tally = tallyOf(line, member)
  tally.rolling_held += amount
  const held = (tally.held.get(bucket_start) ?? 0n) + amount
  assert(held >= 0n, 'no more is given back than is held')
  if (held === 0n) tally.held.delete(bucket_start)
  else tally.held.set(bucket_start, held)
}

function tallyOf(line: Line, member: string): Tally {
  const known = line.tallies.get(member)
  if (known) return known
  const tally = {
    spent: new Map(),
    held: new Map(),
    rolling_spent: 0n,
    rolling_held: 0n,
    oldest: Number.POSITIVE_INFINITY,
  }
  line.tallies.set(member, tally)
  return tally
}

function stateOf(binding: Binding, now: number): BudgetState {
  const { line, member } = binding
  const { id, name, limit_nanos, scope } = line.budget
  const { spent, held } = usedOf(binding, now)
  return {
    budget_id: id,
    name: hasMembers(scope) ? `${name} (${member === '' ? 'not named' : member})` : name,
    limit_nanos,
    spent_nanos: spent,
    held_nanos: held,
    resets_at: resetOf(binding, now),
  }
}

/** A rolling budget has no reset: told is when the oldest minute leaves, or the next one when only holds count. */
function resetOf({ line, member }: Binding, now: number): number | null {
  if (line.rolling_ms === undefined) return windowNow(line, now).end
  const oldest = line.tallies.get(member)?.oldest ?? Number.POSITIVE_INFINITY
  return Number.isFinite(oldest) ? oldest + ROLLING_BUCKET_MS + line.rolling_ms : now + MINUTE_MS
}

import { closest } from '../closest.ts'
import { UserError } from '../errors.ts'
import { createPlan, takePlan } from '../keys/plan.ts'
import { getWrappedKey } from '../keys/wrapped-key.ts'
import { formatUsd, type Nanos, nanosFromUsd } from '../money.ts'
import { isTimeZone } from '../period.ts'
import type { Db } from '../store/schema.ts'
import type { AnswerParts } from './answer.ts'
import {
  type Budget,
  type BudgetFields,
  changeBudget,
  createBudget,
  DEFAULT_THRESHOLDS,
  getBudget,
  NAME_CHARS_MAX,
  removeBudget,
} from './budget.ts'
import { type BudgetReport, describeUse, findBudgetUse } from './report.ts'
import { formatScope, hasMembers, parseScope, parseScopeKind, type Scope } from './scope.ts'
import { findUnknownScope } from './unknown-scope.ts'
import { parseBudgetPeriod } from './window.ts'

/** As a person or an assistant says it: names, dollars, words. Absent fields stay as they are. */
export type BudgetRequest = {
  /** Id or name of the one to change or remove; absent: a new one. */
  readonly budget?: string | undefined
  readonly name?: string | undefined
  readonly scope?: string | undefined
  readonly scope_value?: string | undefined
  readonly period?: string | undefined
  readonly limit_usd?: string | undefined
  readonly action?: string | undefined
  readonly thresholds?: readonly number[] | undefined
  readonly timezone?: string | undefined
  readonly week_start?: number | undefined
  readonly remove?: boolean | undefined
  readonly plan_id?: string | undefined
}

export type BudgetParts = AnswerParts & { readonly config: { readonly timezone: string } }

export type BudgetOutcome = {
  readonly state: 'created' | 'changed' | 'removed' | 'planned'
  readonly budget: BudgetReport
  /** To remove it, call again with this. */
  readonly plan_id: string | null
  /** What happened, or would happen, in a sentence. */
  readonly effect: string
}

const TOOL = 'set_budget'

/** Creates, changes, or removes in two steps. @throws UserError that names the field and what it takes. */
export async function setBudget(
  parts: BudgetParts,
  request: BudgetRequest,
  actor: string,
): Promise<BudgetOutcome> {
  const { db, clock } = parts
  const asked = { at: clock.now(), actor }
  if (request.plan_id !== undefined) return carryOut(parts, request.plan_id, asked)
  if (request.remove === true) return planRemoval(parts, request)
  if (request.budget === undefined) {
    const budget = await createBudget(db, await newFields(parts, request), asked)
    return outcome(parts, 'created', budget, await sentenceOf(parts, budget))
  }
  const before = await getBudget(db, request.budget)
  const budget = await changeBudget(db, before.id, await changesOf(db, request, before), asked)
  return outcome(parts, 'changed', budget, await sentenceOf(parts, budget))
}

/** Removes at once: for a person at a terminal who was asked. */
export async function dropBudget(
  parts: BudgetParts,
  budget: string,
  actor: string,
): Promise<BudgetOutcome> {
  const { db, clock } = parts
  const found = await getBudget(db, budget)
  const report = describeUse(await findBudgetUse(db, found, clock.now()), clock.now())
  await removeBudget(db, found.id, { at: clock.now(), actor })
  const effect = `Removed the budget "${found.name}".${found.action === 'block' ? ' It stops nothing any more.' : ''}`
  return { state: 'removed', budget: report, plan_id: null, effect }
}

async function planRemoval(parts: BudgetParts, request: BudgetRequest): Promise<BudgetOutcome> {
  const { db, clock } = parts
  if (request.budget === undefined)
    throw new UserError('remove: give the id or name of the budget as well, in "budget".')
  const budget = await getBudget(db, request.budget)
  const plan_id = await createPlan(
    db,
    { tool: TOOL, action: 'remove', subject: budget.id },
    clock.now(),
  )
  const planned = await outcome(parts, 'planned', budget, '')
  const { spent_usd, limit_usd } = planned.budget
  const then =
    budget.action === 'block'
      ? 'Nothing would stop its spending any more.'
      : 'Nobody would be told of its spending any more.'
  const effect = `Would remove the budget "${budget.name}" (${formatUsd(spent_usd)} of ${formatUsd(limit_usd)} used). ${then} To do it, call set_budget with plan_id.`
  return { ...planned, plan_id, effect }
}

async function carryOut(
  parts: BudgetParts,
  plan_id: string,
  { at, actor }: { at: number; actor: string },
): Promise<BudgetOutcome> {
  const deed = await takePlan(parts.db, plan_id, TOOL, at)
  return dropBudget(parts, deed.subject, actor)
}

async function outcome(
  { db, clock }: BudgetParts,
  state: BudgetOutcome['state'],
  budget: Budget,
  effect: string,
): Promise<BudgetOutcome> {
  const now = clock.now()
  const report = describeUse(await findBudgetUse(db, budget, now), now)
  return { state, budget: report, plan_id: null, effect }
}

async function sentenceOf(parts: BudgetParts, budget: Budget): Promise<string> {
  const { name, scope, period, limit_nanos, action } = budget
  const whom = await labelOf(parts.db, scope)
  const each = hasMembers(scope) ? 'Each has the limit for itself.' : ''
  const then =
    action === 'notify'
      ? 'It tells, and stops nothing.'
      : 'From the next request on the proxy refuses what would exceed it; what does not go through the proxy is not stopped.'
  const what = `"${name}": ${formatUsd(limit_nanos)} ${periodText(period)} for ${whom}.`
  return [what, each, then, await findUnknownScope(parts, scope)].filter(Boolean).join(' ')
}

/** Keys are kept by their ids; people know their names. */
async function labelOf(db: Db, scope: Scope): Promise<string> {
  if (scope.kind !== 'wrapped_key' || hasMembers(scope)) return formatScope(scope)
  const { name } = await getWrappedKey(db, scope.value)
  return formatScope({ ...scope, value: name })
}

function periodText(period: Budget['period']): string {
  if (period === 'lifetime') return 'in all'
  const hours = /^rolling_(\d+)h$/.exec(period)?.[1]
  return hours === undefined ? `a ${period}` : `in any ${hours} h`
}

async function newFields(
  { db, config }: BudgetParts,
  request: BudgetRequest,
): Promise<BudgetFields> {
  const { limit_usd, period } = request
  const missing = (['scope', 'period', 'limit_usd'] as const).filter(
    (name) => request[name] === undefined,
  )
  if (missing.length > 0 || limit_usd === undefined || period === undefined)
    throw new UserError(
      `A new budget needs ${missing.join(', ')}. To change one, give its id or name in "budget".`,
    )
  const scope = await scopeOf(db, request, undefined)
  return {
    name: request.name ?? `${await labelOf(db, scope)} ${period}`.slice(0, NAME_CHARS_MAX),
    scope,
    period: parseBudgetPeriod(period),
    zone: parseZone(request.timezone ?? config.timezone),
    week_start: request.week_start ?? 1,
    limit_nanos: parseLimit(limit_usd),
    action: parseAction(request.action ?? 'notify'),
    thresholds: request.thresholds ?? DEFAULT_THRESHOLDS,
  }
}

async function changesOf(
  db: Db,
  request: BudgetRequest,
  before: Budget,
): Promise<Partial<BudgetFields>> {
  const { name, scope, scope_value, period, limit_usd, action } = request
  const { thresholds, timezone, week_start } = request
  return {
    ...(name === undefined ? {} : { name }),
    ...(scope === undefined && scope_value === undefined
      ? {}
      : { scope: await scopeOf(db, request, before) }),
    ...(period === undefined ? {} : { period: parseBudgetPeriod(period) }),
    ...(limit_usd === undefined ? {} : { limit_nanos: parseLimit(limit_usd) }),
    ...(action === undefined ? {} : { action: parseAction(action) }),
    ...(thresholds === undefined ? {} : { thresholds }),
    ...(timezone === undefined ? {} : { zone: parseZone(timezone) }),
    ...(week_start === undefined ? {} : { week_start }),
  }
}

/** A wrapped key is kept by its id, so that a new name changes nothing. */
async function scopeOf(
  db: Db,
  { scope, scope_value }: BudgetRequest,
  before: Budget | undefined,
): Promise<Scope> {
  const kind = scope === undefined ? (before?.scope.kind ?? 'all') : parseScopeKind(scope)
  const is_same_kind = kind === before?.scope.kind
  const parsed = parseScope(kind, scope_value ?? (is_same_kind ? before.scope.value : undefined))
  if (parsed.kind !== 'wrapped_key' || parsed.value === '*') return parsed
  const key = await getWrappedKey(db, parsed.value)
  return { kind: 'wrapped_key', value: key.id }
}

/** @throws UserError */
export function parseLimit(text: string, field = 'limit_usd'): Nanos {
  try {
    return nanosFromUsd(text.replace(/^\$/, ''))
  } catch {
    throw new UserError(`${field}: "${text.slice(0, 40)}" must be US dollars such as 25 or 0.50.`)
  }
}

function parseAction(text: string): Budget['action'] {
  if (text === 'notify' || text === 'block') return text
  const near = closest(text, ['notify', 'block'])
  throw new UserError(`action: must be notify or block${near ? ` (closest: ${near})` : ''}.`)
}

function parseZone(text: string): string {
  if (isTimeZone(text)) return text
  throw new UserError(
    `timezone: "${text.slice(0, 40)}" must be an IANA name such as Europe/Berlin.`,
  )
}

import { rankByDistance } from '../closest.ts'
import { UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import { appendAudit } from '../keys/audit.ts'
import { inTransaction } from '../keys/transaction.ts'
import { type Nanos, usdFromNanos } from '../money.ts'
import { nanos } from '../store/columns.ts'
import { bumpRevision } from '../store/revision.ts'
import type { Db } from '../store/schema.ts'
import type { Scope, ScopeKind } from './scope.ts'
import { rebuildSpent } from './spent.ts'
import type { BudgetPeriod, Calendar } from './window.ts'

/** A limit on what a scope may cost in a period. `block` makes the proxy refuse; `notify` only tells. */
export type Budget = Calendar & {
  readonly id: string
  readonly name: string
  readonly scope: Scope
  readonly limit_nanos: Nanos
  readonly action: 'notify' | 'block'
  /** Whole percents of the limit, in order. */
  readonly thresholds: readonly number[]
  readonly created_at: number
  readonly updated_at: number
}

export type BudgetFields = Omit<Budget, 'id' | 'created_at' | 'updated_at'>

/** Who asks for it and when. */
export type Asked = { readonly at: number; readonly actor: string }

export const DEFAULT_THRESHOLDS: readonly number[] = [50, 80, 100]
export const NAME_CHARS_MAX = 80
const BUDGETS_MAX = 5_000
const THRESHOLDS_MAX = 10
/** So that sums of many budgets and bounds stay far inside 64 bits. */
const LIMIT_NANOS_MAX = 10n ** 18n

const COLUMNS = [
  'id',
  'name',
  'scope',
  'scope_value',
  'period',
  'zone',
  'week_start',
  'action',
  'thresholds',
  'created_at',
  'updated_at',
] as const

export async function listBudgets(
  db: Db,
  { action }: { action?: Budget['action'] } = {},
): Promise<Budget[]> {
  const rows = await db
    .selectFrom('budget')
    .select([...COLUMNS, nanos('limit_nanos').as('limit_nanos')])
    .where('removed_at', 'is', null)
    .$if(action !== undefined, (query) => query.where('action', '=', action ?? 'block'))
    .orderBy('name')
    .limit(BUDGETS_MAX)
    .execute()
  return rows.map(budgetOf)
}

/** By id or by name, in any case. @throws UserError with the closest names. */
export async function getBudget(db: Db, text: string): Promise<Budget> {
  const all = await listBudgets(db)
  const found =
    all.find(({ id }) => id === text) ??
    all.find(({ name }) => name.toLowerCase() === text.trim().toLowerCase())
  if (found) return found
  const names = all.map(({ name }) => name)
  const near = rankByDistance(text, names, 3)
  const hint =
    names.length === 0
      ? 'There is none at all; set_budget makes one.'
      : `${near.length > 0 ? 'Closest' : 'Known'}: ${(near.length > 0 ? near : names.slice(0, 10)).join(', ')}.`
  throw new UserError(`There is no budget "${text}". ${hint}`)
}

/**
 * What the scope has spent in the running window is counted from the first moment.
 * @throws UserError for a name that is taken or fields that make no sense.
 */
export async function createBudget(db: Db, fields: BudgetFields, asked: Asked): Promise<Budget> {
  const checked = checkFields(fields)
  return inTransaction(db, async (trx) => {
    const others = await listBudgets(trx)
    refuseTooMany(others)
    refuseSameName(others, checked.name)
    const budget = {
      ...checked,
      id: newId('bud'),
      created_at: asked.at,
      updated_at: asked.at,
    }
    await trx
      .insertInto('budget')
      .values({
        ...rowOf(checked),
        id: budget.id,
        created_at: asked.at,
        updated_at: asked.at,
        removed_at: null,
      })
      .execute()
    if (budget.action === 'block') await rebuildSpent(trx, budget, asked.at)
    await noteChange(trx, budget, 'budget.create', asked)
    return budget
  })
}

/** A new limit binds the next request; a new scope, period or zone makes the spend counted anew. */
export async function changeBudget(
  db: Db,
  id: string,
  changes: Partial<BudgetFields>,
  asked: Asked,
): Promise<Budget> {
  return inTransaction(db, async (trx) => {
    const before = await getBudget(trx, id)
    const { id: _, created_at, updated_at: __, ...fields } = before
    const checked = checkFields({ ...fields, ...changes })
    const others = (await listBudgets(trx)).filter(({ id: other }) => other !== before.id)
    refuseSameName(others, checked.name)
    await trx
      .updateTable('budget')
      .set({ ...rowOf(checked), updated_at: asked.at })
      .where('id', '=', before.id)
      .execute()
    const budget = { ...checked, id: before.id, created_at, updated_at: asked.at }
    if (countsOtherwise(before, budget)) await rebuildSpent(trx, budget, asked.at)
    await noteChange(trx, budget, 'budget.change', asked)
    return budget
  })
}

/** Of a budget that only tells nothing is kept; another limit finds all that was spent there already. */
function countsOtherwise(before: Budget, after: Budget): boolean {
  const counting = ({ action, scope, period, zone, week_start }: Budget) =>
    JSON.stringify([action, scope.kind, scope.value, period, zone, week_start])
  return after.action === 'block' && counting(before) !== counting(after)
}

/** Nothing is counted against it from the next request on; what was spent stays in the ledger. */
export async function removeBudget(db: Db, id: string, asked: Asked): Promise<Budget> {
  return inTransaction(db, async (trx) => {
    const budget = await getBudget(trx, id)
    await trx
      .updateTable('budget')
      .set({ removed_at: asked.at, updated_at: asked.at })
      .where('id', '=', budget.id)
      .execute()
    await noteChange(trx, budget, 'budget.remove', asked)
    return budget
  })
}

async function noteChange(
  trx: Db,
  budget: Budget,
  action: string,
  { at, actor }: Asked,
): Promise<void> {
  await bumpRevision(trx, 'budgets')
  await bumpRevision(trx, 'budget_list')
  const detail = {
    name: budget.name,
    scope: budget.scope.kind,
    scope_value: budget.scope.value,
    period: budget.period,
    limit_usd: usdFromNanos(budget.limit_nanos),
    on_limit: budget.action,
  }
  await appendAudit(trx, { at, actor, action, subject: budget.id, detail })
}

/** Budgets that no list has would bind at the gate alone. */
function refuseTooMany(budgets: readonly Budget[]): void {
  if (budgets.length >= BUDGETS_MAX)
    throw new UserError(
      `There are ${BUDGETS_MAX} budgets, and no more can be. One with scope_value * gives each key, user or session a limit of its own.`,
    )
}

function refuseSameName(others: readonly Budget[], name: string): void {
  const same = others.find((one) => isSameName(one.name, name))
  if (same)
    throw new UserError(
      `There is a budget "${same.name}" already (${same.id}). Give its id to change it, or take another name.`,
    )
}

export function isSameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}

function checkFields(fields: BudgetFields): BudgetFields {
  const name = fields.name.trim()
  if (!/^[^\p{C}]{1,80}$/u.test(name))
    throw new UserError('A budget needs a name of 1 to 80 characters, such as "team search".')
  if (fields.limit_nanos < 0n || fields.limit_nanos > LIMIT_NANOS_MAX)
    throw new UserError('limit_usd: must be an amount from 0 to 1000000000 US dollars.')
  if (!Number.isInteger(fields.week_start) || fields.week_start < 1 || fields.week_start > 7)
    throw new UserError('week_start: must be 1 (Monday) to 7 (Sunday).')
  return { ...fields, name, thresholds: checkThresholds(fields.thresholds) }
}

function checkThresholds(thresholds: readonly number[]): number[] {
  const bad = thresholds.find((one) => !Number.isInteger(one) || one < 1 || one > 1_000)
  if (bad !== undefined || thresholds.length > THRESHOLDS_MAX)
    throw new UserError(
      `thresholds: must be up to ${THRESHOLDS_MAX} whole percents from 1 to 1000, such as 50, 80, 100.`,
    )
  return [...new Set(thresholds)].sort((a, b) => a - b)
}

type Row = Record<'id' | 'name' | 'scope' | 'scope_value' | 'period' | 'zone', string> & {
  readonly week_start: number
  readonly limit_nanos: string
  readonly action: 'notify' | 'block'
  readonly thresholds: string
  readonly created_at: number
  readonly updated_at: number
}

export function budgetOf({ scope, scope_value, ...row }: Row): Budget {
  return {
    ...row,
    scope: { kind: scope as ScopeKind, value: scope_value },
    period: row.period as BudgetPeriod,
    limit_nanos: BigInt(row.limit_nanos),
    thresholds: JSON.parse(row.thresholds) as number[],
  }
}

function rowOf({ scope, thresholds, ...fields }: BudgetFields) {
  return {
    ...fields,
    scope: scope.kind,
    scope_value: scope.value,
    thresholds: JSON.stringify(thresholds),
  }
}

import { type Clock, isoTime } from '../clock.ts'
import { UserError } from '../errors.ts'
import { getWrappedKey } from '../keys/wrapped-key.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Db } from '../store/schema.ts'
import type { Subject } from './admission.ts'
import { type Affordable, judgeAffordable } from './afford.ts'
import { getBudget } from './budget.ts'
import {
  type BudgetReport,
  type BudgetUse,
  describeUse,
  findBudgetUse,
  listBudgetUses,
} from './report.ts'
import { scopeMatcher } from './scope.ts'

export type BudgetQuestion = {
  readonly budget?: string | undefined
  readonly model?: string | undefined
  readonly input_tokens?: number | undefined
  readonly output_tokens?: number | undefined
  readonly session?: string | undefined
  readonly wrapped_key?: string | undefined
  readonly user?: string | undefined
  readonly tags?: Readonly<Record<string, string>> | undefined
  readonly limit: number
}

export type BudgetAnswer = {
  /** The tightest first. */
  readonly budgets: readonly BudgetReport[]
  readonly afford: Affordable | null
  readonly notes: readonly string[]
  readonly as_of: string
  readonly has_more: boolean
}

export type AnswerParts = {
  readonly db: Db
  readonly clock: Clock
  readonly providers: readonly { readonly id: string }[]
  catalog(): Promise<Catalog>
}

/** @throws UserError for a budget, key, model or session that is not known. */
export async function answerBudgets(
  parts: AnswerParts,
  question: BudgetQuestion,
): Promise<BudgetAnswer> {
  const { db, clock } = parts
  const now = clock.now()
  const subject = await subjectOf(db, question)
  const uses =
    question.budget === undefined
      ? await listBudgetUses(db, now, { subject })
      : [await findBudgetUse(db, await getBudget(db, question.budget), now, subject)]
  const afford = await judge(parts, question, subject, { uses, now })
  const shown = afford
    ? uses.filter(({ budget }) => afford.bound_by.includes(budget.name))
    : listBinding(question, subject, uses)
  const reports = shown
    .map((use) => describeUse(use, now))
    .sort((a, b) => b.used_percent - a.used_percent)
  const rest = reports.length - question.limit
  return {
    budgets: reports.slice(0, question.limit),
    afford,
    notes: [
      ...notesOf(uses, reports),
      ...(rest > 0 ? [`${rest} more budgets were left out; raise limit or name one.`] : []),
    ],
    as_of: isoTime(now),
    has_more: rest > 0,
  }
}

/** Of a key, a user or tags: the budgets that their requests are charged to, whatever the model. */
function listBinding(
  { wrapped_key, user, tags }: BudgetQuestion,
  subject: Subject,
  uses: readonly BudgetUse[],
): readonly BudgetUse[] {
  if (wrapped_key === undefined && user === undefined && tags === undefined) return uses
  return uses.filter(({ budget }) => scopeMatcher(budget.scope)(subject) !== undefined)
}

async function judge(
  parts: AnswerParts,
  question: BudgetQuestion,
  subject: Subject,
  found: { uses: readonly BudgetUse[]; now: number },
): Promise<Affordable | null> {
  const { model, session } = question
  if (model === undefined && session === undefined) return null
  const { db, providers } = parts
  return judgeAffordable(
    db,
    await parts.catalog(),
    {
      subject,
      input_tokens: parseCount('input_tokens', question.input_tokens),
      output_tokens: parseCount('output_tokens', question.output_tokens),
      preferred_providers: providers.map(({ id }) => id),
    },
    found,
  )
}

function parseCount(field: string, count: number | undefined): number | null {
  if (count === undefined) return null
  if (Number.isSafeInteger(count) && count >= 0) return count
  throw new UserError(`${field}: must be a whole number of tokens.`)
}

/** What a wrapped key says of itself goes before what is asked, as at the proxy. */
async function subjectOf(db: Db, question: BudgetQuestion): Promise<Subject> {
  const { model = '', session = null, user = null, tags = {} } = question
  const slash = model.indexOf('/')
  const named = {
    provider: slash > 0 ? model.slice(0, slash) : '',
    model: slash > 0 ? model.slice(slash + 1) : model,
    session,
  }
  if (question.wrapped_key === undefined)
    return { ...named, user, tags, wrapped_key: null, workspace: null }
  const key = await getWrappedKey(db, question.wrapped_key)
  return {
    ...named,
    user: key.user ?? user,
    tags: { ...tags, ...key.tags },
    wrapped_key: key.id,
    workspace: key.workspace,
  }
}

function notesOf(uses: readonly BudgetUse[], shown: readonly BudgetReport[]): string[] {
  if (uses.length === 0) return ['There is no budget yet; set_budget makes one.']
  const notes: string[] = []
  if (shown.some(({ action }) => action === 'block'))
    notes.push(
      'A blocking budget counts what passes the proxy: spent and held together never exceed its limit there. Requests around the proxy are seen by get_spend, not stopped.',
    )
  if (shown.some(({ uncertain_usd }) => uncertain_usd !== undefined))
    notes.push(
      'Uncertain money is the most that interrupted requests can have cost; it stays charged until the provider says less.',
    )
  const each = uses.filter((use) => use.uses.length > 1)
  if (each.length > 0)
    notes.push(
      `Of ${each.map(({ budget }) => `"${budget.name}"`).join(', ')} the member that used most is shown.`,
    )
  return notes
}

/** Whether a budget binds a subject at all: for those who list what binds a key. */
export function bindsKey(
  { budget }: BudgetUse,
  key: { readonly id: string; readonly workspace: string | null; readonly user: string | null },
): boolean {
  const subject = {
    provider: '',
    model: '',
    wrapped_key: key.id,
    workspace: key.workspace,
    user: key.user,
    session: null,
    tags: {},
  }
  return budget.scope.kind !== 'all' && scopeMatcher(budget.scope)(subject) !== undefined
}

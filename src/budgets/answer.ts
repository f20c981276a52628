import { type Clock, isoTime } from '../clock.ts'
import { UserError } from '../errors.ts'
import { getWrappedKey, listWrappedKeys, type WrappedKey } from '../keys/wrapped-key.ts'
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
import { NOBODY, scopeMatcher } from './scope.ts'
import { NO_USE } from './use.ts'

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
  const named = question.budget === undefined ? undefined : await getBudget(db, question.budget)
  const asked = await subjectOf(db, question)
  const afford = await judge(parts, question, asked, now)
  const uses = afford
    ? afford.uses
    : named
      ? [await findBudgetUse(db, named, now, asked.subject)]
      : await listBudgetUses(db, now, { subjects: [asked.subject] })
  const shown = afford
    ? uses.filter(({ budget }) => budget.id === named?.id || isBound(afford, budget.name))
    : listBinding(question, asked.subject, uses)
  const names = await keyNames(db, shown)
  const reports = shown
    .map((use) => describeUse(use, now))
    .map((report) => ({ ...report, ...names(report) }))
    .sort((a, b) => b.used_percent - a.used_percent)
  const rest = reports.length - question.limit
  return {
    budgets: reports.slice(0, question.limit),
    afford: afford?.answer ?? null,
    notes: [
      ...notesOf(uses, shown, reports),
      ...(afford && shown.some(({ budget }) => budget.action === 'block') ? [HELD_OUTPUT] : []),
      ...(afford && named && !isBound(afford, named.name)
        ? [
            `"${named.name}" does not count such a request: name the wrapped key, user or tags of it.`,
          ]
        : []),
      ...(rest > 0
        ? [
            `${rest} more budgets were left out; raise limit up to 100, name one, or: outlay budgets list.`,
          ]
        : []),
    ],
    as_of: isoTime(now),
    has_more: rest > 0,
  }
}

type Asked = { readonly subject: Subject; readonly key: WrappedKey | null }
const HELD_OUTPUT =
  'What the proxy holds goes by the output limit that the request names; without one, by the longest answer of the model.'

type Judged = { readonly answer: Affordable; readonly uses: readonly BudgetUse[] }

function isBound({ answer }: Judged, name: string): boolean {
  return answer.bound_by.includes(name)
}

/** Of a key, a user or tags: the budgets that their requests are charged to, whatever the model. */
function listBinding(
  { wrapped_key, user, tags }: BudgetQuestion,
  subject: Subject,
  uses: readonly BudgetUse[],
): readonly BudgetUse[] {
  if (wrapped_key === undefined && user === undefined && tags === undefined) return uses
  return uses.flatMap((use) => chargedUse(use, subject) ?? [])
}

/**
 * A budget as it stands for a subject: where each has a limit of its own, by what the subject itself has
 * used. Where the subject does not say, all are kept.
 */
function chargedUse(use: BudgetUse, subject: Subject): BudgetUse | undefined {
  const member = scopeMatcher(use.budget.scope)(subject)
  if (member === undefined || member === NOBODY) return member === undefined ? undefined : use
  return { ...use, uses: [use.uses.find((one) => one.member === member) ?? { ...NO_USE, member }] }
}

/** Keys are counted by their ids; people know their names. */
async function keyNames(db: Db, uses: readonly BudgetUse[]) {
  const has_keys = uses.some(({ budget }) => budget.scope.kind === 'wrapped_key')
  const keys = has_keys ? await listWrappedKeys(db, { with_revoked: true }) : []
  const names = new Map(keys.map(({ id, name }) => [id, name]))
  return ({ scope, scope_value, member }: BudgetReport) => {
    const key_name = scope === 'wrapped_key' ? names.get(member ?? scope_value) : undefined
    return key_name === undefined ? {} : { key_name }
  }
}

async function judge(
  parts: AnswerParts,
  question: BudgetQuestion,
  { subject, key }: Asked,
  now: number,
): Promise<Judged | null> {
  const { model, session, input_tokens, output_tokens } = question
  if (model === undefined && session === undefined) {
    if (input_tokens === undefined && output_tokens === undefined) return null
    throw new UserError('model: tokens cost what their model says. Give it as well, or a session.')
  }
  const { db, providers } = parts
  const uses = await listBudgetUses(db, now, { subjects: [subject] })
  const answer = await judgeAffordable(
    db,
    await parts.catalog(),
    {
      subject,
      key,
      input_tokens: parseCount('input_tokens', input_tokens),
      output_tokens: parseCount('output_tokens', output_tokens),
      preferred_providers: [...(key?.providers ?? []), ...providers.map(({ id }) => id)],
    },
    { uses, now },
  )
  const charged = { ...subject, provider: answer.provider, model: answer.model }
  return { answer, uses: uses.map((use) => chargedUse(use, charged) ?? use) }
}

function parseCount(field: string, count: number | undefined): number | null {
  if (count === undefined) return null
  if (Number.isSafeInteger(count) && count >= 0) return count
  throw new UserError(`${field}: must be a whole number of tokens.`)
}

/** What a wrapped key says of itself goes before what is asked, as at the proxy. */
async function subjectOf(db: Db, question: BudgetQuestion): Promise<Asked> {
  const { model = '', session = null, user = null, tags = {} } = question
  const slash = model.indexOf('/')
  const named = {
    provider: slash > 0 ? model.slice(0, slash) : '',
    model: slash > 0 ? model.slice(slash + 1) : model,
    session,
  }
  if (question.wrapped_key === undefined)
    return { subject: { ...named, user, tags, wrapped_key: null, workspace: null }, key: null }
  const key = await getWrappedKey(db, question.wrapped_key)
  const subject = {
    ...named,
    user: key.user ?? user,
    tags: { ...tags, ...key.tags },
    wrapped_key: key.id,
    workspace: key.workspace,
  }
  return { subject, key }
}

function notesOf(
  uses: readonly BudgetUse[],
  shown_uses: readonly BudgetUse[],
  shown: readonly BudgetReport[],
): string[] {
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
  const each = shown_uses.filter((use) => use.uses.length > 1)
  if (each.length > 0)
    notes.push(
      `Of ${each.map(({ budget }) => `"${budget.name}"`).join(', ')} the member that used most is shown.`,
    )
  return notes
}

/** A budget as it stands for a key, whatever its requests ask for; undefined where it binds others. */
export function findKeyUse(use: BudgetUse, key: WrappedKey): BudgetUse | undefined {
  return chargedUse(use, subjectOfKey(key))
}

export function subjectOfKey({ id, workspace, user, tags }: WrappedKey): Subject {
  return { provider: '', model: '', session: null, wrapped_key: id, workspace, user, tags }
}

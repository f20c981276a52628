import { DAY_MS } from '../clock.ts'
import { rankByDistance } from '../closest.ts'
import { UserError } from '../errors.ts'
import type { WrappedKey } from '../keys/wrapped-key.ts'
import { formatUsd, type Nanos, usdFromNanos } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { listModels, suggestModels } from '../pricing/match.ts'
import { nanos } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import { NO_USAGE, type Usage } from '../usage.ts'
import type { Subject } from './admission.ts'
import { type Cheaper, listCheaper, priceOf, reasonClosed } from './cheaper.ts'
import { countFitting, heldUsage } from './foresee.ts'
import type { BudgetUse } from './report.ts'
import { scopeMatcher } from './scope.ts'

/** A request that is not sent yet. A session without a model is judged by its own recent requests. */
export type AffordQuestion = {
  readonly subject: Subject
  /** The one that it would be sent with. */
  readonly key: WrappedKey | null
  readonly input_tokens: number | null
  readonly output_tokens: number | null
  /** Which provider is meant when several have the model, the first one first. */
  readonly preferred_providers: readonly string[]
}

export type Affordable = {
  readonly verdict: 'yes' | 'no' | 'unknown'
  readonly model: string
  readonly provider: string
  /** What one such request costs; `high` is what nine in ten do not exceed. */
  readonly expected_usd: string | null
  readonly high_usd: string | null
  readonly basis: string
  /** How many more such requests the tightest budget holds; null without a budget. */
  readonly requests_left: number | null
  /** Budgets that bind, the tightest first. */
  readonly bound_by: readonly string[]
  readonly cheaper: readonly Cheaper[]
  readonly reason: string
}

type Estimate = {
  readonly provider: string
  readonly model: string
  readonly expected: Nanos | null
  readonly high: Nanos | null
  readonly usage: Usage
  readonly basis: string
}

const RECENT_MS = 30 * DAY_MS
const SESSION_REQUESTS_MAX = 200
/** Where neither a number nor history tells: a middling turn of a conversation. */
const DEFAULT_OUTPUT_TOKENS = 1_000

/** @throws UserError for a model or session that nothing is known of. */
export async function judgeAffordable(
  db: Db,
  catalog: Catalog,
  question: AffordQuestion,
  { uses, now }: { uses: readonly BudgetUse[]; now: number },
): Promise<Affordable> {
  const estimate = await estimateRequest(db, catalog, question, now)
  const { provider, model } = estimate
  const binding = listBinding(uses, { ...question.subject, provider, model })
  const tightest = binding[0]
  const cost = estimate.high
  const held = priceHeld(catalog, estimate, now) ?? cost
  const needs = ({ action }: Bound) => (action === 'block' ? held : cost)
  const all_over = binding.filter((one) => (needs(one) ?? 0n) > one.rest)
  const over = all_over.find(({ action }) => action === 'block') ?? all_over[0]
  const closed = question.key && reasonClosed(question.key, estimate, now)
  const unbounded = cost === null ? binding.find(({ action }) => action === 'block') : undefined
  return {
    verdict: closed || over || unbounded ? 'no' : cost === null ? 'unknown' : 'yes',
    model,
    provider,
    expected_usd: usdOf(estimate.expected),
    high_usd: usdOf(cost),
    basis: estimate.basis,
    requests_left:
      closed || unbounded
        ? 0
        : tightest
          ? countFitting(tightest.rest, cost, needs(tightest))
          : null,
    bound_by: binding.map(({ name }) => name),
    cheaper: await listCheaper(db, catalog, { ...estimate, key: question.key }, now),
    reason: closed || reasonOf(cost, over ?? unbounded ?? tightest, over ? held : null),
  }
}

/** A request that names no tier and no place can come under the dearest of them, and is held at that. */
function priceHeld(
  catalog: Catalog,
  { provider, model, usage }: Estimate,
  now: number,
): Nanos | null {
  const held = { provider, model, usage: heldUsage(usage), now }
  return [{}, { service_tier: 'priority' }, { inference_geo: 'us' }]
    .map((open) => priceOf(catalog, { ...held, ...open }))
    .reduce((most, one) => (one !== null && (most === null || one > most) ? one : most))
}

type Bound = { readonly name: string; readonly rest: Nanos; readonly action: string }

function listBinding(uses: readonly BudgetUse[], subject: Subject): Bound[] {
  const bound = uses.flatMap(({ budget, uses: members }): Bound[] => {
    const member = scopeMatcher(budget.scope)(subject)
    if (member === undefined) return []
    const use = members.find((one) => one.member === member)
    const used = (use?.spent_nanos ?? 0n) + (use?.held_nanos ?? 0n)
    const rest = budget.limit_nanos > used ? budget.limit_nanos - used : 0n
    return [{ name: budget.name, rest, action: budget.action }]
  })
  return bound.sort((a, b) => (a.rest < b.rest ? -1 : a.rest > b.rest ? 1 : 0))
}

function reasonOf(cost: Nanos | null, tightest: Bound | undefined, over: Nanos | null): string {
  if (cost === null)
    return tightest?.action === 'block'
      ? `No price is known for this model, and "${tightest.name}" blocks: the proxy would refuse it.`
      : 'No price is known for this model.'
  if (!tightest) return 'No budget binds.'
  const { name, rest, action } = tightest
  if (over === null) return `"${name}" leaves ${formatUsd(rest)}.`
  return action === 'block'
    ? `"${name}" leaves ${formatUsd(rest)}, and the proxy holds about ${formatUsd(over)} until the cost is known: it would refuse it.`
    : `"${name}" leaves ${formatUsd(rest)}; it only tells, so the request would go through.`
}

async function estimateRequest(
  db: Db,
  catalog: Catalog,
  question: AffordQuestion,
  now: number,
): Promise<Estimate> {
  const { subject, input_tokens, output_tokens } = question
  if (subject.session !== null && input_tokens === null)
    return estimateSession(db, catalog, { ...question, session: subject.session }, now)
  if (subject.model === '')
    throw new UserError('Give a model with input_tokens and output_tokens, or a session.')
  const usage = {
    ...NO_USAGE,
    requests: 1,
    uncached_input_tokens: input_tokens ?? 0,
    output_tokens: output_tokens ?? DEFAULT_OUTPUT_TOKENS,
  }
  const provider = providerOf(catalog, question)
  const cost = priceOf(catalog, { provider, model: subject.model, usage, now })
  const basis =
    output_tokens === null
      ? `list price, ${DEFAULT_OUTPUT_TOKENS} output tokens assumed`
      : 'list price of these tokens, nothing cached'
  return { provider, model: subject.model, expected: cost, high: cost, usage, basis }
}

/** The session's own requests say what its next one costs: their median, and what nine in ten stay below. */
async function estimateSession(
  db: Db,
  catalog: Catalog,
  question: AffordQuestion & { readonly session: string },
  now: number,
): Promise<Estimate> {
  const { subject, session } = question
  const rows = await db
    .selectFrom('ledger_entry')
    .select([
      'provider',
      'model',
      'uncached_input_tokens',
      'cache_read_tokens',
      'cache_write_5m_tokens',
      'cache_write_1h_tokens',
      'output_tokens',
      nanos('cost_nanos').as('cost'),
    ])
    .where('session_id', '=', session)
    .where('cost_nanos', 'is not', null)
    .orderBy('occurred_at', 'desc')
    .limit(SESSION_REQUESTS_MAX)
    .execute()
  const [last] = rows
  if (!last) throw await unknownSession(db, session, now)
  const costs = rows.map(({ cost }) => BigInt(cost)).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const mean = (pick: (row: (typeof rows)[number]) => number) =>
    Math.round(rows.reduce((sum, row) => sum + pick(row), 0) / rows.length)
  const usage = {
    ...NO_USAGE,
    requests: 1,
    uncached_input_tokens: mean((row) => row.uncached_input_tokens),
    cache_read_tokens: mean((row) => row.cache_read_tokens),
    cache_write_5m_tokens: mean((row) => row.cache_write_5m_tokens),
    cache_write_1h_tokens: mean((row) => row.cache_write_1h_tokens),
    output_tokens: mean((row) => row.output_tokens),
  }
  const is_other = subject.model !== '' && subject.model !== last.model
  const basis = `${rows.length} recent requests of the session`
  if (!is_other)
    return {
      provider: last.provider,
      model: last.model,
      expected: costs[Math.floor((costs.length - 1) * 0.5)] ?? null,
      high: costs[Math.floor((costs.length - 1) * 0.9)] ?? null,
      usage,
      basis,
    }
  const provider = providerOf(catalog, question)
  const cost = priceOf(catalog, { provider, model: subject.model, usage, now })
  const other = `tokens of ${basis}, at list price`
  return { provider, model: subject.model, expected: cost, high: cost, usage, basis: other }
}

function providerOf(
  catalog: Catalog,
  { subject: { provider, model }, preferred_providers }: AffordQuestion,
): string {
  if (provider !== '') return provider
  const known = listModels(catalog, model).map((one) => one.provider)
  const found = preferred_providers.find((one) => known.includes(one)) ?? known[0]
  if (found !== undefined) return found
  const near = suggestModels(catalog, undefined, model, 3)
  throw new UserError(
    `model: no price is known for "${model.slice(0, 80)}".${near.length > 0 ? ` Closest: ${near.join(', ')}.` : ''}`,
  )
}

async function unknownSession(db: Db, session: string, now: number): Promise<UserError> {
  const rows = await db
    .selectFrom('ledger_entry')
    .select('session_id')
    .distinct()
    .where('occurred_at', '>=', now - RECENT_MS)
    .where('session_id', 'is not', null)
    .limit(500)
    .execute()
  const near = rankByDistance(
    session,
    rows.flatMap(({ session_id }) => session_id ?? []),
    3,
  )
  return new UserError(
    `No priced request of the session "${session.slice(0, 80)}" has been seen.${near.length > 0 ? ` Closest: ${near.join(', ')}.` : ''} Give a model with input_tokens and output_tokens instead.`,
  )
}

function usdOf(amount: Nanos | null): string | null {
  return amount === null ? null : usdFromNanos(amount)
}

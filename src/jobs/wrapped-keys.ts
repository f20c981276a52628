import type { App } from '../app.ts'
import {
  changeBudget,
  createBudget,
  DEFAULT_THRESHOLDS,
  isSameName,
  listBudgets,
} from '../budgets/budget.ts'
import { parseLimit } from '../budgets/request.ts'
import { parseBudgetPeriod } from '../budgets/window.ts'
import { HOUR_MS } from '../clock.ts'
import { UserError } from '../errors.ts'
import { createPlan, takePlan } from '../keys/plan.ts'
import { createSecretPage } from '../keys/secret-page.ts'
import {
  type Asked,
  changeWrappedKey,
  createWrappedKey,
  getWrappedKey,
  pauseWrappedKey,
  resumeWrappedKey,
  revokeWrappedKey,
  rotateWrappedKey,
  type WrappedKey,
} from '../keys/wrapped-key.ts'
import type { Secret } from '../secret.ts'
import type { Db } from '../store/schema.ts'
import { changesOf, type KeyRequest, newFields } from './key-fields.ts'
import { baseUrlsOf, findSidePort } from './proxy-url.ts'

/** How the secret reaches the person: on a page that shows it once, or in the answer. */
export type Reveal = 'page' | 'inline'

export type Delivered = {
  readonly key: WrappedKey
  /** Present only when it was asked for inline. */
  readonly secret: Secret | null
  /** The page that shows it once. */
  readonly url: string | null
  readonly base_urls: Readonly<Record<string, string>>
}

const KEY_BUDGET_PERIOD = 'month'
const GRACE_HOURS_MAX = 24 * 90

/** A key for somebody, ready to use, with its budget: all in one transaction. */
export async function provideKey(
  app: App,
  request: KeyRequest & { readonly name: string },
  reveal: Reveal,
  actor: string,
): Promise<Delivered> {
  const { db, clock } = app
  const asked = { at: clock.now(), actor }
  const side_port = await findSidePort(app)
  refuseUndelivered(side_port, reveal, request.name)
  const fields = await newFields(db, request, asked.at)
  const made = await db.transaction().execute(async (trx) => {
    const created = await createWrappedKey(trx, fields, asked)
    await setKeyBudget(app, trx, created.key, request, asked)
    return created
  })
  return deliver(app, made, side_port, reveal)
}

/** A new secret for a key that has one. */
export async function renewKey(
  app: App,
  given: { readonly key: string; readonly grace_hours: number; readonly reveal: Reveal },
  actor: string,
): Promise<Delivered> {
  if (!(given.grace_hours >= 0 && given.grace_hours <= GRACE_HOURS_MAX))
    throw new UserError(`grace_hours: must be from 0 to ${GRACE_HOURS_MAX}.`)
  const side_port = await findSidePort(app)
  refuseUndelivered(side_port, given.reveal, given.key)
  const asked = { at: app.clock.now(), actor }
  const made = await rotateWrappedKey(app.db, given.key, given.grace_hours * HOUR_MS, asked)
  return deliver(app, made, side_port, given.reveal)
}

/** @throws UserError when nothing would change. */
export async function changeKey(
  app: App,
  key: string,
  request: KeyRequest & { readonly name?: string | undefined },
  actor: string,
): Promise<WrappedKey> {
  const { db, clock } = app
  const asked = { at: clock.now(), actor }
  return db.transaction().execute(async (trx) => {
    const before = await getWrappedKey(trx, key)
    const changes = await changesOf(trx, request, asked.at)
    const has_budget = request.budget_usd !== undefined || request.budget_period !== undefined
    if (Object.keys(changes).length === 0 && !has_budget)
      throw new UserError('Nothing to change was given. Give the fields with their new values.')
    const after =
      Object.keys(changes).length === 0
        ? before
        : await changeWrappedKey(trx, before.id, changes, asked)
    await setKeyBudget(app, trx, after, request, asked)
    return after
  })
}

/** What revoking or rotating at once would do, and the plan that does it. */
export async function planKeyDeed(
  app: App,
  deed: 'revoke' | 'rotate',
  text: string,
): Promise<{ key: WrappedKey; plan_id: string; effect: string }> {
  const { db, clock } = app
  const key = await getWrappedKey(db, text)
  const plan_id = await createPlan(
    db,
    { tool: KEY_TOOL, action: deed, subject: key.id },
    clock.now(),
  )
  const used = key.last_used_at === null ? 'It was never used.' : 'It is in use.'
  const effect =
    deed === 'revoke'
      ? `Would revoke the key "${key.name}" for good: its next request is refused. ${used} To do it, call update_wrapped_key with plan_id.`
      : `Would replace the secret of "${key.name}" at once: whoever has the old one is refused. ${used} To do it, call update_wrapped_key with plan_id; for a soft change give grace_hours.`
  return { key, plan_id, effect }
}

export async function takeKeyPlan(
  app: App,
  plan_id: string,
): Promise<{ deed: 'revoke' | 'rotate'; key: string }> {
  const { action, subject } = await takePlan(app.db, plan_id, KEY_TOOL, app.clock.now())
  return { deed: action === 'rotate' ? 'rotate' : 'revoke', key: subject }
}

export async function setKeyState(
  app: App,
  deed: 'pause' | 'resume' | 'revoke',
  key: string,
  actor: string,
): Promise<WrappedKey> {
  const asked = { at: app.clock.now(), actor }
  const deeds = { pause: pauseWrappedKey, resume: resumeWrappedKey, revoke: revokeWrappedKey }
  return deeds[deed](app.db, key, asked)
}

const KEY_TOOL = 'update_wrapped_key'

async function deliver(
  app: App,
  { key, secret }: { key: WrappedKey; secret: Secret },
  side_port: string | undefined,
  reveal: Reveal,
): Promise<Delivered> {
  const base_urls = await baseUrlsOf(app, key, side_port)
  if (reveal === 'inline' || side_port === undefined) return { key, secret, url: null, base_urls }
  const { db, sealer, clock } = app
  const nonce = await createSecretPage(db, sealer, { title: key.name, secret, clock })
  return { key, secret: null, url: `${side_port}/connect/${nonce}`, base_urls }
}

/** A key whose secret nobody can be shown would be a key that nobody has. */
function refuseUndelivered(side_port: string | undefined, reveal: Reveal, name: string): void {
  if (side_port !== undefined || reveal === 'inline') return
  throw new UserError(
    `No page can show the key, because no Outlay process has its side port open. Start one (outlay serve), call again with reveal: inline, or run in a terminal: outlay keys create ${name}`,
  )
}

/** The key's own budget is the one that stops it alone; one that only tells is another's business. */
async function setKeyBudget(
  { config }: App,
  trx: Db,
  key: WrappedKey,
  { budget_usd, budget_period }: KeyRequest,
  asked: Asked,
): Promise<void> {
  if (budget_usd === undefined && budget_period === undefined) return
  const own = (await listBudgets(trx, { action: 'block' })).filter(
    ({ scope }) => scope.kind === 'wrapped_key' && scope.value === key.id,
  )
  const [first, ...others] = own
  if (others.length > 0)
    throw new UserError(
      `The key "${key.name}" has several budgets (${own.map(({ name }) => name).join(', ')}). Change the one you mean with set_budget.`,
    )
  const limit = budget_usd === undefined ? undefined : parseLimit(budget_usd, 'budget_usd')
  const period =
    budget_period === undefined ? undefined : parseBudgetPeriod(budget_period, 'budget_period')
  if (first) {
    const changes = {
      ...(limit === undefined ? {} : { limit_nanos: limit }),
      ...(period === undefined ? {} : { period }),
    }
    await changeBudget(trx, first.id, changes, asked)
    return
  }
  if (limit === undefined)
    throw new UserError('budget_period: give budget_usd as well, the limit in US dollars.')
  // The budget of a key that was revoked, or has another name now, keeps its own.
  const name = `key ${key.name}`
  const is_taken = (await listBudgets(trx)).some((one) => isSameName(one.name, name))
  await createBudget(
    trx,
    {
      name: is_taken ? `${name} ${key.id.slice(0, 8)}` : name,
      scope: { kind: 'wrapped_key', value: key.id },
      period: period ?? KEY_BUDGET_PERIOD,
      zone: config.timezone,
      week_start: 1,
      limit_nanos: limit,
      action: 'block',
      thresholds: DEFAULT_THRESHOLDS,
    },
    asked,
  )
}

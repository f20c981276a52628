import type { App } from '../app.ts'
import { changeBudget, createBudget, DEFAULT_THRESHOLDS, listBudgets } from '../budgets/budget.ts'
import { parseLimit } from '../budgets/request.ts'
import { parseBudgetPeriod } from '../budgets/window.ts'
import { DAY_MS, HOUR_MS } from '../clock.ts'
import { rankByDistance } from '../closest.ts'
import { UserError } from '../errors.ts'
import { createPlan, takePlan } from '../keys/plan.ts'
import { createSecretPage } from '../keys/secret-page.ts'
import { listUpstreamKeys } from '../keys/upstream-key.ts'
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
  type WrappedKeyFields,
} from '../keys/wrapped-key.ts'
import type { Secret } from '../secret.ts'
import { findLease } from '../store/lease.ts'
import type { Db } from '../store/schema.ts'
import { OWNER_LEASE } from './scheduler.ts'
import type { OwnerDetail } from './status.ts'

/** As a person or an assistant says it; absent fields keep their default, or what they are. */
export type KeyRequest = {
  readonly providers?: readonly string[] | undefined
  readonly models?: readonly string[] | undefined
  readonly addresses?: readonly string[] | undefined
  readonly tags?: Readonly<Record<string, string>> | undefined
  readonly user?: string | undefined
  readonly workspace?: string | undefined
  readonly on_limit?: 'refuse' | 'clamp' | undefined
  readonly on_abort?: 'stop' | 'drain' | undefined
  /** By name: `requests_per_minute`, `tokens_per_minute`, `concurrent_requests`; 0 for none. */
  readonly limits?: Readonly<Record<string, number>> | undefined
  /** A date, an instant, or days from now: `30d`. */
  readonly expires?: string | undefined
  /** Of a blocking budget of the key's own. */
  readonly budget_usd?: string | undefined
  readonly budget_period?: string | undefined
}

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

export type KeyDeed = 'pause' | 'resume' | 'revoke' | 'rotate'

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

async function findSidePort({ db, holder }: App): Promise<string | undefined> {
  const owner = await findLease(db, holder, OWNER_LEASE)
  return (JSON.parse(owner?.detail ?? '{}') as OwnerDetail).side_port
}

/** What a client's base URL is set to: https://github.com/openai/openai-node wants the `/v1`. */
async function baseUrlsOf(
  { db, config, providers }: App,
  key: WrappedKey,
  side_port: string | undefined,
): Promise<Record<string, string>> {
  const root = `${side_port ?? `http://${config.host}:${config.port}`}/proxy`
  const compat = new Set(
    (await listUpstreamKeys(db)).flatMap((one) => (one.is_compat ? [one.provider] : [])),
  )
  const known = new Set(providers.map(({ id }) => id))
  return Object.fromEntries(
    key.providers.map((provider) => {
      if (compat.has(provider) && !known.has(provider))
        return [provider, `${root}/compat/${provider}`]
      return [provider, `${root}/${provider}${BASE_PATHS[provider] ?? ''}`]
    }),
  )
}

const BASE_PATHS: Readonly<Record<string, string>> = { openai: '/v1' }

async function newFields(
  db: Db,
  request: KeyRequest & { readonly name: string },
  now: number,
): Promise<WrappedKeyFields> {
  const changes = await changesOf(db, request, now)
  return {
    models: [],
    addresses: [],
    tags: {},
    user: null,
    workspace: null,
    on_limit: 'refuse',
    on_abort: 'stop',
    requests_per_minute: null,
    tokens_per_minute: null,
    concurrent_requests: null,
    expires_at: null,
    ...changes,
    name: request.name,
    providers: changes.providers ?? (await listConnected(db)),
  }
}

async function changesOf(
  db: Db,
  request: KeyRequest & { readonly name?: string | undefined },
  now: number,
): Promise<Partial<WrappedKeyFields>> {
  const { budget_usd: _, budget_period: __, expires, providers, limits, ...fields } = request
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  return {
    ...(Object.fromEntries(given) as Partial<WrappedKeyFields>),
    ...(providers === undefined ? {} : { providers: await checkProviders(db, providers) }),
    ...(expires === undefined ? {} : { expires_at: parseExpiry(expires, now) }),
    ...parseLimits(limits ?? {}),
  }
}

const LIMITS = ['requests_per_minute', 'tokens_per_minute', 'concurrent_requests'] as const

function parseLimits(limits: Readonly<Record<string, number>>): Partial<WrappedKeyFields> {
  const unknown = Object.keys(limits).find((name) => !LIMITS.some((one) => one === name))
  if (unknown !== undefined) {
    const [near] = rankByDistance(unknown, LIMITS, 1)
    throw new UserError(
      `limits: "${unknown.slice(0, 40)}" is none of ${LIMITS.join(', ')}${near ? ` (closest: ${near})` : ''}.`,
    )
  }
  return Object.fromEntries(
    Object.entries(limits).map(([name, value]) => [name, value === 0 ? null : value]),
  )
}

/** Only what has a key of its own can be opened by another. */
async function checkProviders(db: Db, wanted: readonly string[]): Promise<string[]> {
  const connected = await listConnected(db)
  return wanted.map((text) => {
    const name = text.replace(/^compat\//, '')
    if (connected.includes(name)) return name
    const [near] = rankByDistance(name, connected, 1)
    throw new UserError(
      `providers: "${name.slice(0, 40)}" has no inference key.${near ? ` Closest: ${near}.` : ''} Connected: ${connected.join(', ') || 'none'}. In a terminal: outlay connect ${name.slice(0, 40)} --kind inference`,
    )
  })
}

async function listConnected(db: Db): Promise<string[]> {
  const connected = [...new Set((await listUpstreamKeys(db)).map(({ provider }) => provider))]
  if (connected.length > 0) return connected
  throw new UserError(
    'No provider key for inference is connected, so a wrapped key would open nothing. In a terminal: outlay connect <provider> --kind inference',
  )
}

function parseExpiry(text: string, now: number): number | null {
  if (text === 'never') return null
  const days = /^(\d{1,4})d$/.exec(text)?.[1]
  if (days !== undefined) return now + Number(days) * DAY_MS
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at)) return at
  throw new UserError('expires: must be a date, an instant, days from now such as 30d, or never.')
}

/** The key's own budget is the one whose scope is this key alone. */
async function setKeyBudget(
  { config }: App,
  trx: Db,
  key: WrappedKey,
  { budget_usd, budget_period }: KeyRequest,
  asked: Asked,
): Promise<void> {
  if (budget_usd === undefined && budget_period === undefined) return
  const own = (await listBudgets(trx)).filter(
    ({ scope }) => scope.kind === 'wrapped_key' && scope.value === key.id,
  )
  const [first, ...others] = own
  if (others.length > 0)
    throw new UserError(
      `The key "${key.name}" has several budgets (${own.map(({ name }) => name).join(', ')}). Change the one you mean with set_budget.`,
    )
  const limit = budget_usd === undefined ? undefined : parseLimit(budget_usd)
  const period = budget_period === undefined ? undefined : parseBudgetPeriod(budget_period)
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
  await createBudget(
    trx,
    {
      name: `key ${key.name}`,
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

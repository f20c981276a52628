import { DAY_MS } from '../clock.ts'
import { rankByDistance } from '../closest.ts'
import { UserError } from '../errors.ts'
import { listUpstreamKeys } from '../keys/upstream-key.ts'
import type { WrappedKeyFields } from '../keys/wrapped-key.ts'
import type { Db } from '../store/schema.ts'

/** As a person or an assistant says it; absent fields keep their default, or what they are. */
export type KeyRequest = {
  readonly providers?: readonly string[] | undefined
  readonly models?: readonly string[] | undefined
  readonly addresses?: readonly string[] | undefined
  readonly tags?: Readonly<Record<string, string>> | undefined
  /** An empty text takes it away, as for `workspace`. */
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

/** The fields of a new key; what was not asked for gets its default. */
export async function newFields(
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
    // What nobody saw the end of stays charged at its most: under a budget the rest is cheaper.
    on_abort: request.budget_usd === undefined ? 'stop' : 'drain',
    requests_per_minute: null,
    tokens_per_minute: null,
    concurrent_requests: null,
    expires_at: null,
    ...changes,
    name: request.name,
    providers: changes.providers ?? (await listConnected(db)),
  }
}

/** Only what was asked for. */
export async function changesOf(
  db: Db,
  request: KeyRequest & { readonly name?: string | undefined },
  now: number,
): Promise<Partial<WrappedKeyFields>> {
  const { budget_usd: _, budget_period: __, expires, providers, limits, ...fields } = request
  const given = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, value === '' && name !== 'name' ? null : value])
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

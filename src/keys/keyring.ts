import { isoTime, MINUTE_MS } from '../clock.ts'
import { globMatcher } from '../glob.ts'
import type { Secret } from '../secret.ts'
import type { UpstreamKeyTable, WrappedKeyTable } from '../store/budget-tables.ts'
import {
  type DriverName,
  isStoreTrouble,
  openStatements,
  type Statements,
} from '../store/driver.ts'
import { formerSecrets } from './former-secret.ts'
import type { KeyProblem, ProxyKey } from './proxy-key.ts'
import type { Sealer } from './seal.ts'
import { upstreamSealContext } from './upstream-key.ts'
import { hashOfKey, idOfKey, keyOf, keyState, type WrappedKey } from './wrapped-key.ts'
import { addressMatcher } from './wrapped-key-fields.ts'

export type KeyringParts = {
  /** A file; never `:memory:`. */
  readonly store_path: string
  readonly store_driver: DriverName
  readonly sealer: Sealer
}

/**
 * All keys in memory, on a connection of its own: one look a turn of the event loop tells whether
 * anybody wrote, so that a key that was revoked or narrowed, by whatever process, is so at the next
 * request.
 */
export type Keyring = {
  /** What stands behind a text that a client sent; notes the use at most once a minute. */
  resolveKey(text: string, now: number): ProxyKey | KeyProblem
  /** The provider's own key for a wrapped key's workspace, else the one for all; null where none is. */
  upstreamKey(provider: string, key: Pick<ProxyKey, 'id'>): Secret | null
  /** Where the connected key of a provider says that it is reached, if not at its real host. */
  upstreamBaseUrl(provider: string): string | undefined
  /** Of an OpenAI-compatible server; null for a name that none has. */
  compatBaseUrl(name: string): string | null
  close(): void
}

type Entry = {
  readonly key: WrappedKey
  readonly proxy_key: ProxyKey
  readonly until: number | null
}
type Upstream = UpstreamKeyTable & { readonly sealed_key: string; opened: Secret | undefined }

type Ring = {
  readonly statements: Statements
  readonly sealer: Sealer
  readonly queries: ReturnType<typeof prepareQueries>
  seen: { version: number; revision: number }
  is_checked: boolean
  /** By the hash of the whole text; a key in rotation is there twice. */
  readonly entries: Map<string, Entry>
  /** The hashes of texts that were found to be keys: hashing is not repeated for each request. */
  readonly hashes: Map<string, string>
  readonly workspaces: Map<string, string | null>
  upstreams: Upstream[]
}

export function openKeyring({ store_path, store_driver, sealer }: KeyringParts): Keyring {
  const statements = openStatements(store_path, store_driver)
  const ring: Ring = {
    statements,
    sealer,
    queries: prepareQueries(statements),
    seen: { version: -1, revision: -1 },
    is_checked: false,
    entries: new Map(),
    hashes: new Map(),
    workspaces: new Map(),
    upstreams: [],
  }
  return {
    resolveKey(text, now) {
      check(ring)
      return resolve(ring, text, now)
    },
    upstreamKey(provider, { id }) {
      check(ring)
      return openUpstream(ring, provider, ring.workspaces.get(id) ?? null)
    },
    upstreamBaseUrl(provider) {
      check(ring)
      return (
        ring.upstreams.find((one) => one.provider === provider && one.is_compat === 0)?.base_url ??
        undefined
      )
    },
    compatBaseUrl(name) {
      check(ring)
      return (
        ring.upstreams.find((one) => one.provider === name && one.is_compat === 1)?.base_url ?? null
      )
    },
    close: () => statements.close(),
  }
}

/** Once a turn: what is asked for in one turn was sent before whatever is written after it. */
function check(ring: Ring): void {
  if (ring.is_checked) return
  const { queries, seen } = ring
  const version = queries.version()
  if (version !== seen.version) {
    const revision = queries.revision()
    if (revision !== seen.revision) load(ring)
    ring.seen = { version, revision }
  }
  ring.is_checked = true
  setImmediate(() => {
    ring.is_checked = false
  })
}

function load(ring: Ring): void {
  ring.entries.clear()
  ring.hashes.clear()
  ring.workspaces.clear()
  for (const row of ring.queries.keys()) {
    const key = keyOf(row)
    const proxy_key = proxyKeyOf(key)
    ring.workspaces.set(key.id, key.workspace)
    ring.entries.set(row.secret_hash, { key, proxy_key, until: null })
    for (const { hash, until } of formerSecrets(row))
      ring.entries.set(hash, { key, proxy_key, until })
  }
  ring.upstreams = ring.queries.upstreams().map((row) => ({ ...row, opened: undefined }))
}

function resolve(ring: Ring, text: string, now: number): ProxyKey | KeyProblem {
  const hash = ring.hashes.get(text) ?? hashOfKey(text)
  const entry = ring.entries.get(hash)
  if (!entry) return idOfKey(text) === undefined ? refuseShape(text) : UNKNOWN
  ring.hashes.set(text, hash)
  const { key, proxy_key, until } = entry
  if (until !== null && until <= now)
    return problem('revoked', `This secret of the wrapped key "${key.name}" was replaced.`)
  const state = keyState(key, now)
  if (state === 'active') {
    noteUse(ring, entry, now)
    return proxy_key
  }
  if (state === 'expired')
    return problem(
      'expired',
      `The wrapped key "${key.name}" expired at ${isoTime(key.expires_at ?? now)}.`,
    )
  return problem(state, `The wrapped key "${key.name}" is ${state}.`)
}

const NEEDED =
  'Here a wrapped key (olk_…) belongs; create_wrapped_key or "outlay keys create" makes one.'
const UNKNOWN = problem('unknown', 'This is not a known wrapped key.')

function refuseShape(text: string): KeyProblem {
  if (text.startsWith('olt_'))
    return problem(
      'wrong_kind',
      'This is an access token (olt_…), which only MCP and telemetry take.',
    )
  if (/^(sk|pk|rk|key)[-_]|^AIza|^gsk_|^xai-/.test(text))
    return problem(
      'wrong_kind',
      'This is a provider key. Outlay keeps those and never takes one here.',
    )
  return UNKNOWN
}

function problem(kind: KeyProblem['problem'], sentence: string): KeyProblem {
  const needs_key = kind === 'unknown' || kind === 'wrong_kind'
  return { problem: kind, message: needs_key ? `${sentence} ${NEEDED}` : sentence }
}

function proxyKeyOf(key: WrappedKey): ProxyKey {
  const { requests_per_minute, tokens_per_minute, concurrent_requests } = key
  return Object.freeze({
    id: key.id,
    name: key.name,
    providers: key.providers,
    allowsModel: modelMatcher(key.models),
    allowsAddress: addressMatcher(key.addresses),
    tags: key.tags,
    user: key.user,
    workspace: key.workspace,
    on_limit: key.on_limit,
    on_abort: key.on_abort,
    limits: { requests_per_minute, tokens_per_minute, concurrent_requests },
  })
}

/** `gpt-5*` is a model of any provider, `openai/gpt-5*` of that one; so is a model with a slash in its name. */
export function modelMatcher(
  patterns: readonly string[],
): (provider: string, model: string) => boolean {
  if (patterns.length === 0) return () => true
  const matchers = patterns.map(globMatcher)
  return (provider, model) =>
    matchers.some((matches) => matches(model) || matches(`${provider}/${model}`))
}

function openUpstream(ring: Ring, provider: string, workspace: string | null): Secret | null {
  const all = ring.upstreams.filter((one) => one.provider === provider)
  const found =
    all.find((one) => workspace !== null && one.workspace === workspace) ??
    all.find((one) => one.workspace === null)
  if (!found) return null
  found.opened ??= ring.sealer.open(found.sealed_key, upstreamSealContext(found.id))
  return found.opened
}

/** Only for people who ask which keys are idle: a store that cannot be written loses nothing else. */
function noteUse(ring: Ring, entry: Entry, now: number): void {
  const { key } = entry
  if (key.last_used_at !== null && now - key.last_used_at < MINUTE_MS) return
  const used = { ...entry, key: { ...key, last_used_at: now } }
  for (const [hash, one] of ring.entries)
    if (one.key.id === key.id) ring.entries.set(hash, { ...used, until: one.until })
  try {
    ring.queries.noteUse(key.id, now)
  } catch (error) {
    if (!isStoreTrouble(error)) throw error
  }
}

function prepareQueries({ prepare }: Statements) {
  const version = prepare('pragma data_version')
  const revision = prepare(`select value from revision where name = 'keys'`)
  const keys = prepare('select * from wrapped_key')
  const upstreams = prepare('select * from upstream_key where removed_at is null order by name')
  const use = prepare('update wrapped_key set last_used_at = ? where id = ?')
  return {
    version: () => (version.all()[0] as { data_version: number }).data_version,
    revision: () => (revision.all()[0] as { value: number }).value,
    keys: () => keys.all() as WrappedKeyTable[],
    upstreams: () => upstreams.all() as (UpstreamKeyTable & { sealed_key: string })[],
    noteUse: (id: string, at: number) => void use.run(at, id),
  }
}

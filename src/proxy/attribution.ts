import type { IncomingHttpHeaders } from 'node:http'
import type { ProxyKey } from '../keys/proxy-key.ts'
import { type Ask, isObject } from '../providers/wire.ts'
import { parseJson } from './json-bytes.ts'

/** To whom a request is charged. */
export type Attribution = {
  readonly client: string | null
  readonly user: string | null
  readonly session: string | null
  readonly tags: Readonly<Record<string, string>>
}

/** `x-outlay-tag-team: alpha`; the other prefix is what clients' documentation shows most. */
const TAG_HEADER = /^(?:x-outlay-tag-|x-ledger-tag-|x-tag-|helicone-property-)(.+)$/
const TAG_LISTS = ['x-outlay-tags', 'x-ledger-tags']
const TAG_JSON = ['x-portkey-metadata', 'cf-aig-metadata']
const USER_HEADERS = ['x-outlay-user', 'x-litellm-end-user-id', 'helicone-user-id']
const SESSION_HEADERS = [
  'x-outlay-session',
  'x-claude-code-session-id',
  'helicone-session-id',
  'x-portkey-trace-id',
]
/** Tools send these for their own sake: the provider gets them too. */
const FORWARDED = new Set(['x-claude-code-session-id'])
const OWN = new Set(
  [...TAG_LISTS, ...TAG_JSON, ...USER_HEADERS, ...SESSION_HEADERS, 'x-litellm-tags'].filter(
    (name) => !FORWARDED.has(name),
  ),
)

const TAGS_MAX = 20
const NAME_LENGTH_MAX = 64
const VALUE_LENGTH_MAX = 200

/** Headers that are meant for a gateway alone, and end here. */
export function isAttributionHeader(name: string): boolean {
  return (
    isOwnName(name) &&
    (OWN.has(name) ||
      name.startsWith('helicone-') ||
      name.startsWith('x-outlay-') ||
      name.startsWith('cf-aig-') ||
      TAG_HEADER.test(name))
  )
}

/** Most headers are told apart by how they begin. */
function isOwnName(name: string): boolean {
  return name.startsWith('x-') || name.startsWith('helicone-') || name.startsWith('cf-aig-')
}

/**
 * What the client says of itself adds detail; where the key says something, the key is right, so that
 * no header leads out of a team or a budget.
 */
export function attribute(headers: IncomingHttpHeaders, ask: Ask, key: ProxyKey): Attribution {
  const metadata = metadataOf(headers)
  return {
    client: clientOf(headers),
    user: key.user ?? short(firstOf(headers, USER_HEADERS) ?? metadata['_user'] ?? ask.user),
    session: short(firstOf(headers, SESSION_HEADERS) ?? codexSession(headers) ?? ask.session),
    tags: { ...tagsOf(headers, metadata), ...key.tags },
  }
}

function tagsOf(
  headers: IncomingHttpHeaders,
  metadata: Readonly<Record<string, string>>,
): Record<string, string> {
  const found: [string, string][] = []
  for (const name in headers) {
    const tag = isOwnName(name) ? TAG_HEADER.exec(name)?.[1] : undefined
    const value = headers[name]
    if (tag && typeof value === 'string') found.push([tag, value])
  }
  for (const pair of (firstOf(headers, TAG_LISTS) ?? '').split(',')) {
    const [name = '', ...value] = pair.split('=')
    if (value.length > 0) found.push([name.trim(), value.join('=').trim()])
  }
  for (const name of (firstOf(headers, ['x-litellm-tags']) ?? '').split(','))
    if (name.trim() !== '') found.push([name.trim(), 'true'])
  found.push(...Object.entries(metadata).filter(([name]) => !name.startsWith('_')))
  const fitting = found.filter(
    ([name, value]) =>
      name !== '' && name.length <= NAME_LENGTH_MAX && value.length <= VALUE_LENGTH_MAX,
  )
  return Object.fromEntries(fitting.slice(0, TAGS_MAX))
}

function metadataOf(headers: IncomingHttpHeaders): Record<string, string> {
  const text = firstOf(headers, TAG_JSON)
  const value = text === undefined ? undefined : parseJson(text)
  if (!isObject(value)) return {}
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  )
}

/**
 * A sub-agent of Codex has a thread of its own in the session of its root. Its telemetry and its log go by
 * the thread, and would count again beside a session.
 */
function codexSession(headers: IncomingHttpHeaders): string | undefined {
  const metadata = headers['x-codex-turn-metadata']
  if (typeof metadata !== 'string') return undefined
  const idOf = (name: string) =>
    new RegExp(`"${name}"\\s*:\\s*"([\\w-]{8,64})"`).exec(metadata)?.[1]
  return idOf('thread_id') ?? idOf('session_id')
}

const CLIENTS: readonly (readonly [agent: RegExp, client: string])[] = [
  [/^claude-cli\//, 'claude-code'],
  [/^codex[_-]/, 'codex'],
  [/^GeminiCLI/, 'gemini-cli'],
  [/^opencode\//, 'opencode'],
]

function clientOf(headers: IncomingHttpHeaders): string | null {
  const agent = headers['user-agent'] ?? ''
  return CLIENTS.find(([pattern]) => pattern.test(agent))?.[1] ?? null
}

function firstOf(headers: IncomingHttpHeaders, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headers[name]
    if (typeof value === 'string' && value !== '') return value
  }
  return undefined
}

function short(text: string | null | undefined): string | null {
  return text === null || text === undefined ? null : text.slice(0, VALUE_LENGTH_MAX)
}

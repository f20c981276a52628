import { rankByDistance } from '../closest.ts'
import { UserError } from '../errors.ts'
import { globMatcher } from '../glob.ts'
import type { Subject } from './admission.ts'

export const SCOPES = [
  'all',
  'provider',
  'model',
  'wrapped_key',
  'workspace',
  'user',
  'tag',
  'session',
] as const

export type ScopeKind = (typeof SCOPES)[number]

/**
 * What a budget counts. `value` is a name or a pattern with `*`; a tag's is `<key>=<value>`. A bare `*`
 * gives each provider, key, session, … a limit of its own; all other patterns share one. `all` has none.
 */
export type Scope = { readonly kind: ScopeKind; readonly value: string }

/** In a budget whose scope is `*`: those whose requests do not say. They share one limit. */
export const NOBODY = ''
const EACH = '*'

/** Gives which of the budget's members a request is charged to; undefined when it is not in the scope. */
export type ScopeMatcher = (subject: Subject) => string | undefined

export function scopeMatcher({ kind, value }: Scope): ScopeMatcher {
  if (kind === 'all') return () => NOBODY
  const read = reader(kind, value)
  const pattern = patternOf(kind, value)
  if (pattern === EACH) return (subject) => read(subject) ?? NOBODY
  const matches = globMatcher(pattern)
  return (subject) => {
    const own = read(subject)
    return own !== null && own !== undefined && matches(own) ? NOBODY : undefined
  }
}

/** Whether each member has a limit of its own. */
export function hasMembers({ kind, value }: Scope): boolean {
  return kind !== 'all' && patternOf(kind, value) === EACH
}

export function formatScope({ kind, value }: Scope): string {
  if (kind === 'all') return 'everything'
  if (kind === 'tag' && hasMembers({ kind, value })) return `each value of tag ${tagOf(value).key}`
  if (hasMembers({ kind, value })) return `each ${kind.replace('_', ' ')}`
  return `${kind.replace('_', ' ')} ${value}`
}

/** @throws UserError when kind and value do not go together. */
export function parseScope(kind: ScopeKind, value: string | undefined): Scope {
  const text = value?.trim() ?? ''
  if (kind === 'all') {
    if (text !== '' && text !== EACH)
      throw new UserError('The scope "all" takes no scope_value. Leave it out.')
    return { kind, value: '' }
  }
  if (text === '' || text.length > VALUE_CHARS_MAX)
    throw new UserError(
      `The scope "${kind}" needs a scope_value: the ${kind.replace('_', ' ')} to count, a pattern with *, or * alone to give each its own limit.`,
    )
  if (kind === 'tag' && !/^[\w.-]{1,64}=./.test(text))
    throw new UserError(`The scope "tag" needs a scope_value like team=search or team=*.`)
  return { kind, value: text }
}

/** @throws UserError with the closest kind. */
export function parseScopeKind(text: string): ScopeKind {
  const kind = SCOPES.find((one) => one === text)
  if (kind) return kind
  const [near] = rankByDistance(text, SCOPES, 1)
  throw new UserError(
    `scope: must be one of ${SCOPES.join(', ')}${near ? ` (closest: ${near})` : ''}.`,
  )
}

const VALUE_CHARS_MAX = 200

function reader(kind: Exclude<ScopeKind, 'all'>, value: string) {
  const { key } = tagOf(value)
  const readers: Record<Exclude<ScopeKind, 'all'>, (subject: Subject) => string | null> = {
    provider: ({ provider }) => provider,
    model: ({ model }) => model,
    wrapped_key: ({ wrapped_key }) => wrapped_key,
    workspace: ({ workspace }) => workspace,
    user: ({ user }) => user,
    session: ({ session }) => session,
    tag: ({ tags }) => (Object.hasOwn(tags, key) ? (tags[key] ?? null) : null),
  }
  return readers[kind]
}

function patternOf(kind: ScopeKind, value: string): string {
  return kind === 'tag' ? tagOf(value).value : value
}

export function tagOf(value: string): { key: string; value: string } {
  const at = value.indexOf('=')
  return { key: value.slice(0, at), value: value.slice(at + 1) }
}

import type { UsageEvent } from '../ledger/event.ts'
import { findText, findValue, type Item } from './attributes.ts'

/** Whose request it was and what it belonged to. */
export type Attribution = Pick<
  UsageEvent,
  'client' | 'session_id' | 'user' | 'project' | 'billing_mode' | 'tags'
>

/** Who sent a batch, where a token was asked for. */
export type Sender = { readonly id: string; readonly name: string } | null

const SESSION = [
  'session.id',
  'conversation.id',
  'gen_ai.conversation.id',
  'langfuse.session.id',
  'langsmith.trace.session_id',
  'ai.telemetry.metadata.sessionId',
]
const USER = [
  'user.email',
  'enduser.id',
  'user.account_uuid',
  'user.account_id',
  'user.id',
  'installation.id',
]

/** Resource attributes that become tags; `OUTLAY_TAGS` adds to them. Nothing else is stored. */
export const DEFAULT_TAGS: readonly string[] = [
  'team',
  'team.id',
  'department',
  'cost_center',
  'enduser.id',
  'project',
  'env',
  'deployment.environment',
  'deployment.environment.name',
]

export type AttributionRules = {
  /** Attributes that become tags. */
  readonly tags: readonly string[]
}

export function attribute(
  item: Item,
  client: string | null,
  sender: Sender,
  rules: AttributionRules,
): Attribution {
  return {
    client,
    session_id: sessionOf(item) ?? null,
    user: findText(item, USER) ?? sender?.name ?? null,
    project: projectOf(item) ?? null,
    billing_mode: 'api',
    tags: tagsOf(item, rules.tags),
  }
}

/** Codex has the session as the text `thread.id`; elsewhere that is the number of an OS thread. */
function sessionOf(item: Item): string | undefined {
  const thread = item.attributes['thread.id']
  return findText(item, SESSION) ?? (typeof thread === 'string' ? thread : undefined)
}

function projectOf(item: Item): string | undefined {
  const named = findText(item, ['project', 'project.name'])
  if (named !== undefined) return named
  const paths = findValue(item, ['workspace.host_paths'])
  const [path] = Array.isArray(paths) ? paths : []
  return typeof path === 'string' ? lastSegment(path) : undefined
}

function lastSegment(path: string): string | undefined {
  return path.split(/[\\/]/).findLast(Boolean)
}

function tagsOf(item: Item, names: readonly string[]): Record<string, string> {
  const tags: Record<string, string> = {}
  for (const name of names) {
    const value = findText(item, [name])
    if (value !== undefined) tags[name] = value
  }
  return tags
}

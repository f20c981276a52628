import { sha256 } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { type BillingMode, findBillingRule, type TelemetryPolicy } from '../policy.ts'
import { findText, findValue, type Item, textNamed } from './attributes.ts'
import type { Client } from './clients/client.ts'
import type { Attributes } from './signal.ts'

/** Whose request it was and what it belonged to. */
export type Attribution = Pick<
  UsageEvent,
  'session_id' | 'user' | 'project' | 'billing_mode' | 'tags'
> & {
  /** The client's id; a program that only follows a convention goes by its `service.name`. */
  readonly client: string | null
  readonly origin: string
  /** Whether the telemetry names the user, not just the token that it came with. */
  readonly names_user: boolean
}

/** Who sent a batch, where a token was asked for. */
export type Sender = { readonly id: string; readonly name: string } | null

const SESSION = [
  'session.id',
  'conversation.id',
  'gen_ai.conversation.id',
  'langfuse.session.id',
  'langsmith.trace.session_id',
  'traceloop.association.properties.session_id',
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

/** Attributes that become tags; `OUTLAY_TAGS` adds to them. Nothing else is stored. */
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

/** Of a resource, what all signals of one program have alike. */
const ORIGIN = ['service.name', 'service.namespace', 'service.instance.id']

export type AttributionRules = {
  /** Attributes that become tags. */
  readonly tags: readonly string[]
  readonly policy: TelemetryPolicy
}

/** The token's own user and tags go before what the telemetry says. */
export function attribute(
  item: Item,
  client: Client,
  sender: Sender,
  rules: AttributionRules,
): Attribution {
  const of_token = tokenRule(sender, rules.policy)
  const named = findText(item, USER)
  return {
    client: client.id ?? findText(item, ['service.name']) ?? null,
    session_id: sessionOf(item) ?? null,
    user: of_token?.user ?? named ?? sender?.name ?? null,
    names_user: named !== undefined,
    origin: originOf(item.resource, sender, rules.tags),
    project: projectOf(item) ?? null,
    billing_mode: billingMode(item, client, of_token?.billing_mode, rules.policy),
    tags: { ...tagsOf(item, rules.tags), ...of_token?.tags },
  }
}

function tokenRule(sender: Sender, { tokens }: TelemetryPolicy) {
  if (sender === null) return undefined
  const { id, name } = sender
  const key = [id, name].find((one) => Object.hasOwn(tokens, one))
  return key === undefined ? undefined : tokens[key]
}

/**
 * In this order: the user's own rule; the attribute `billing.plan`; how the client says that it signed
 * in; what the client usually is.
 */
function billingMode(
  item: Item,
  client: Client,
  of_token: BillingMode | undefined,
  policy: TelemetryPolicy,
): BillingMode {
  const organization = findText(item, ['organization.id'])
  const rule = findBillingRule(policy, { token: of_token, organization, client: client.id })
  if (rule) return rule
  const plan = findText(item, ['billing.plan'])
  if (plan !== undefined)
    return /^(api|payg|pay[-_ ]as[-_ ]you[-_ ]go)$/i.test(plan) ? 'api' : 'subscription'
  // https://github.com/openai/codex (auth_mode), https://github.com/google-gemini/gemini-cli (auth_type)
  const sign_in = findText(item, ['auth_mode', 'auth_type']) ?? ''
  if (/^(chatgpt|oauth-personal)/i.test(sign_in)) return 'subscription'
  return client.billing_mode ?? 'api'
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
    const value = textNamed(item, name)
    if (value !== undefined) tags[name] = value
  }
  return tags
}

function originOf(resource: Attributes, sender: Sender, tags: readonly string[]): string {
  const names = [...ORIGIN, ...tags].filter((name) => resource[name] !== undefined)
  return sha256(sender?.id ?? '', ...names.map((name) => `${name}=${String(resource[name])}`))
}

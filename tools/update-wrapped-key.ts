import * as z from 'zod'
import type { KeyRequest } from '../src/jobs/key-fields.ts'
import type { Delivered } from '../src/jobs/wrapped-keys.ts'
import type { WrappedKey } from '../src/keys/wrapped-key.ts'
import { Counts, oneOf, Texts } from '../src/params.ts'
import { type Call, defineTool, type OpenUrl } from '../src/tool.ts'

const GRACE_HOURS = 24

const Changes = z
  .object({})
  .catchall(z.union([z.string(), z.number(), z.array(z.string()), Texts, Counts]))

export default defineTool({
  name: 'update_wrapped_key',
  title: 'Update wrapped key',
  effect: 'delete',
  description:
    'Pauses, resumes, changes, rotates or revokes a wrapped key; it binds the next request. Revoking, and rotating with grace_hours 0, take two calls.',
  input: {
    key: z.string().optional().describe('Id or name.'),
    action: oneOf(['pause', 'resume', 'change', 'rotate', 'revoke']).optional(),
    changes: Changes.optional().describe('For change: fields as in create_wrapped_key.'),
    grace_hours: z.number().default(GRACE_HOURS),
    reveal: oneOf(['page', 'inline']).default('page'),
    plan_id: z.string().optional().describe('From the first call.'),
  },
  output: {
    id: z.string(),
    name: z.string(),
    state: z.enum(['active', 'paused', 'expired', 'revoked', 'planned']),
    effect: z.string(),
    plan_id: z.string().optional(),
    url: z.string().optional(),
    key: z.string().optional(),
  },
  handle: (args, call) => update(args, call),
  text: ({ effect, plan_id, url, key }) =>
    [
      effect,
      plan_id && `plan_id: ${plan_id}`,
      url && `Ask the person to open ${url}; it shows the new key once.`,
      key && `The new key, shown this once: ${key}`,
    ]
      .filter(Boolean)
      .join(' '),
})

type Args = {
  key?: string | undefined
  action?: 'pause' | 'resume' | 'change' | 'rotate' | 'revoke' | undefined
  changes?: Record<string, unknown> | undefined
  grace_hours: number
  reveal: 'page' | 'inline'
  plan_id?: string | undefined
}

type Result = {
  id: string
  name: string
  state: 'active' | 'paused' | 'expired' | 'revoked' | 'planned'
  effect: string
  plan_id?: string | undefined
  url?: string | undefined
  key?: string | undefined
}

async function update(args: Args, call: Call): Promise<Result | OpenUrl> {
  const { UserError } = await import('../src/errors.ts')
  const keys = await import('../src/jobs/wrapped-keys.ts')
  const { app, actor, url_answer } = call
  if (url_answer !== undefined) return afterPage(args, call)
  if (args.plan_id !== undefined) {
    const { deed, key } = await keys.takeKeyPlan(app, args.plan_id)
    if (deed === 'revoke') return revoked(call, await keys.setKeyState(app, deed, key, actor))
    // A client that opens the page itself calls again, and a plan is carried out once.
    const given = { ...args, key, grace_hours: 0 }
    return renewed({ ...call, can_open_url: false }, await keys.renewKey(app, given, actor), 0)
  }
  const { key, action, grace_hours } = args
  if (key === undefined || action === undefined)
    throw new UserError('Give key and action, or the plan_id of an earlier call.')
  if (action === 'revoke' || (action === 'rotate' && grace_hours === 0)) {
    const plan = await keys.planKeyDeed(app, action, key)
    return { ...(await outcome(call, plan.key, plan.effect)), ...planned(plan.plan_id) }
  }
  if (action === 'rotate')
    return renewed(call, await keys.renewKey(app, { ...args, key }, actor), grace_hours)
  if (action === 'change') return change(call, key, args.changes)
  const after = await keys.setKeyState(app, action, key, actor)
  const effect =
    action === 'pause'
      ? `"${after.name}" is paused: its next request is refused until it is resumed.`
      : `"${after.name}" works again.`
  return outcome(call, after, effect)
}

async function change(
  call: Call,
  key: string,
  changes: Record<string, unknown> | undefined,
): Promise<Result> {
  const { UserError } = await import('../src/errors.ts')
  const { changeKey } = await import('../src/jobs/wrapped-keys.ts')
  const { default: create } = await import('./create-wrapped-key.ts')
  const { reveal: _, name, ...fields } = create.input
  const shape = z.strictObject({ ...fields, name: z.optional(name ?? z.string()) })
  const parsed = shape.partial().safeParse(changes ?? {})
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new UserError(
      `changes${issue?.path.length ? `.${issue.path.join('.')}` : ''}: ${issue?.message}. Fields: ${Object.keys(shape.shape).join(', ')}.`,
    )
  }
  const after = await changeKey(call.app, key, parsed.data as KeyRequest, call.actor)
  return outcome(call, after, `"${after.name}" is changed, from its next request on.`)
}

function planned(plan_id: string) {
  return { state: 'planned' as const, plan_id }
}

async function revoked(call: Call, key: WrappedKey): Promise<Result> {
  return outcome(call, key, `"${key.name}" is revoked for good; its next request is refused.`)
}

async function renewed(
  call: Call,
  { key, secret, url }: Delivered,
  grace_hours: number,
): Promise<Result | OpenUrl> {
  if (url !== null && call.can_open_url)
    return { open_url: { message: `See the new key "${key.name}", once.`, url } }
  const old = grace_hours === 0 ? 'is refused from now on' : `works for ${grace_hours} h more`
  const effect = `"${key.name}" has a new secret; the old one ${old}.`
  return {
    ...(await outcome(call, key, effect)),
    ...(url === null ? {} : { url }),
    ...(secret ? { key: secret.reveal() } : {}),
  }
}

/** The page was offered to the person; the rotation was done before that. */
async function afterPage({ key }: Args, call: Call): Promise<Result> {
  const { getWrappedKey } = await import('../src/keys/wrapped-key.ts')
  const found = await getWrappedKey(call.app.db, key ?? '')
  const seen = call.url_answer === 'accept' ? 'the page shows it once' : 'nobody has seen it'
  return outcome(call, found, `"${found.name}" has a new secret; ${seen}.`)
}

async function outcome({ app }: Call, key: WrappedKey, effect: string): Promise<Result> {
  const { keyState } = await import('../src/keys/wrapped-key.ts')
  const { id, name } = key
  const state = keyState(key, app.clock.now())
  return { id, name, state, effect }
}

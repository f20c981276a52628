import type { App } from '../app.ts'
import { UserError } from '../errors.ts'
import type { KeyRequest } from '../jobs/key-fields.ts'
import { reportKeys } from '../jobs/key-report.ts'
import {
  changeKey,
  type Delivered,
  provideKey,
  renewKey,
  setKeyState,
} from '../jobs/wrapped-keys.ts'
import { type Command, type CommandArgs, type CommandContext, UsageError } from './command.ts'

const USAGE =
  'list | create <name> | update <key> | rotate <key> [--grace-hours N] | pause <key> | resume <key> | revoke <key> --yes'
const GRACE_HOURS = 24
const SHOWN_MAX = 10_000

export const keys: Command = {
  name: 'keys',
  usage: USAGE,
  summary: 'Wrapped keys: what people and programs use at the proxy instead of provider keys',
  options: {
    name: { type: 'string' },
    providers: { type: 'string' },
    models: { type: 'string' },
    addresses: { type: 'string' },
    tags: { type: 'string' },
    user: { type: 'string' },
    workspace: { type: 'string' },
    budget: { type: 'string' },
    'budget-period': { type: 'string' },
    expires: { type: 'string' },
    'requests-per-minute': { type: 'string' },
    'tokens-per-minute': { type: 'string' },
    'concurrent-requests': { type: 'string' },
    'on-limit': { type: 'string' },
    'on-abort': { type: 'string' },
    'grace-hours': { type: 'string' },
    all: { type: 'boolean' },
    yes: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  positionals_max: 2,
  async run(args, context) {
    const [action, subject] = args.positionals
    if (action === 'list') return list(args, context)
    if (!subject) throw new UsageError(`Usage: outlay keys ${USAGE}`)
    const app = await context.openApp()
    if (action === 'create') return create(app, subject, args, context)
    if (action === 'update') return update(app, subject, args, context)
    if (action === 'rotate') return rotate(app, subject, args, context)
    if (action === 'pause' || action === 'resume' || action === 'revoke')
      return setState(app, { deed: action, key: subject }, args, context)
    throw new UsageError(`Usage: outlay keys ${USAGE}`)
  },
}

async function list({ values }: CommandArgs, { print, openApp }: CommandContext): Promise<number> {
  const report = await reportKeys(await openApp(), {
    limit: SHOWN_MAX,
    with_revoked: values['all'] === true,
  })
  if (values['json'] === true) {
    print(JSON.stringify(report, null, 2))
    return 0
  }
  if (report.keys.length === 0) print('No wrapped keys. Make one: outlay keys create <name>')
  for (const one of report.keys)
    print(
      `${one.id}  ${one.name}  ${one.state}  ${one.providers.join(',')}  30 days ${one.cost_usd_30d} USD, ${one.requests_30d} requests${one.flags.length > 0 ? `  (${one.flags.join('; ')})` : ''}`,
    )
  return 0
}

async function create(
  app: App,
  name: string,
  args: CommandArgs,
  context: CommandContext,
): Promise<number> {
  const made = await provideKey(app, { ...requestOf(args), name }, 'inline', 'cli')
  return show(made, args, context)
}

async function rotate(
  app: App,
  key: string,
  args: CommandArgs,
  context: CommandContext,
): Promise<number> {
  const grace_hours = numberOf(args, 'grace-hours') ?? GRACE_HOURS
  return show(await renewKey(app, { key, grace_hours, reveal: 'inline' }, 'cli'), args, context)
}

/** The secret alone goes to stdout, this once. */
function show(
  { key, secret, base_urls }: Delivered,
  { values }: CommandArgs,
  { print, process }: CommandContext,
): number {
  const text = secret?.reveal() ?? ''
  if (values['json'] === true) print(JSON.stringify({ ...key, key: text, base_urls }))
  else {
    const bases = Object.entries(base_urls).map(([provider, url]) => `  ${provider}: ${url}\n`)
    const where =
      bases.length > 0
        ? `Base URLs:\n${bases.join('')}`
        : 'Its base URLs are known once Outlay runs: outlay env <client>\n'
    process.stderr.write(`This is shown once; keep it where secrets are kept. ${where}`)
    print(text)
  }
  return 0
}

async function update(
  app: App,
  key: string,
  args: CommandArgs,
  { print }: CommandContext,
): Promise<number> {
  const name = args.values['name'] as string | undefined
  const after = await changeKey(app, key, { ...requestOf(args), name }, 'cli')
  if (args.values['json'] === true) print(JSON.stringify(after, null, 2))
  else print(`"${after.name}" is changed, from its next request on.`)
  return 0
}

async function setState(
  app: App,
  { deed, key }: { deed: 'pause' | 'resume' | 'revoke'; key: string },
  { values }: CommandArgs,
  { print }: CommandContext,
): Promise<number> {
  if (deed === 'revoke' && values['yes'] !== true)
    throw new UserError(
      `A revoked key never works again. To do it: outlay keys revoke ${key.startsWith('olk_') ? '<id>' : key} --yes`,
    )
  const after = await setKeyState(app, deed, key, 'cli')
  if (values['json'] === true) print(JSON.stringify(after, null, 2))
  else print(`"${after.name}": ${deed} done, from its next request on.`)
  return 0
}

function requestOf(args: CommandArgs): KeyRequest {
  const { values } = args
  const text = (name: string) => values[name] as string | undefined
  const words = (name: string) => text(name)?.split(',').filter(Boolean)
  const given: KeyRequest = {
    providers: words('providers'),
    models: words('models'),
    addresses: words('addresses'),
    tags: tagsOf(words('tags')),
    user: text('user'),
    workspace: text('workspace'),
    budget_usd: text('budget'),
    budget_period: text('budget-period'),
    expires: text('expires'),
    limits: limitsOf(args),
    on_limit: wordOf(args, 'on-limit', ['refuse', 'clamp']),
    on_abort: wordOf(args, 'on-abort', ['stop', 'drain']),
  }
  return given
}

/** 0 takes a limit away. */
function limitsOf(args: CommandArgs): Record<string, number> {
  const names = ['requests-per-minute', 'tokens-per-minute', 'concurrent-requests']
  const given = names.flatMap((name): [string, number][] => {
    const value = numberOf(args, name)
    return value === undefined ? [] : [[name.replaceAll('-', '_'), value]]
  })
  return Object.fromEntries(given)
}

function tagsOf(pairs: readonly string[] | undefined): Record<string, string> | undefined {
  return (
    pairs &&
    Object.fromEntries(
      pairs.map((pair) => {
        const [key = '', ...value] = pair.split('=')
        return [key, value.join('=')]
      }),
    )
  )
}

function wordOf<Word extends string>(
  { values }: CommandArgs,
  name: string,
  words: readonly Word[],
): Word | undefined {
  const text = values[name]
  if (text === undefined) return undefined
  const word = words.find((one) => one === text)
  if (!word) throw new UserError(`--${name} must be ${words.join(' or ')}.`)
  return word
}

function numberOf({ values }: CommandArgs, name: string): number | undefined {
  const text = values[name]
  if (typeof text !== 'string') return undefined
  const number = Number(text)
  if (!Number.isFinite(number) || number < 0) throw new UserError(`--${name} must be a number.`)
  return number
}

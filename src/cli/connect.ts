import { UserError } from '../errors.ts'
import { connectKind, connectProvider } from '../jobs/connect.ts'
import { connectInference } from '../jobs/connect-inference.ts'
import { requireAdmin } from '../jobs/sync.ts'
import { getInferenceApi } from '../providers/inference.ts'
import { Secret } from '../secret.ts'
import {
  type Command,
  type CommandArgs,
  type CommandContext,
  type Process,
  UsageError,
} from './command.ts'
import { readSecret } from './read-secret.ts'

const USAGE = '<provider> [--kind admin|inference] [--name N] [--base-url U] [--workspace W]'

export const connect: Command = {
  name: 'connect',
  usage: USAGE,
  summary: 'Store a provider key, sealed; it is read from a hidden prompt or from stdin',
  options: {
    kind: { type: 'string' },
    name: { type: 'string' },
    'base-url': { type: 'string' },
    workspace: { type: 'string' },
  },
  positionals_max: 1,
  async run(args, context) {
    const [provider] = args.positionals
    if (!provider) throw new UsageError(`Usage: outlay connect ${USAGE}`)
    const { kind } = args.values
    if (kind !== undefined && kind !== 'admin' && kind !== 'inference')
      throw new UsageError('--kind must be admin (reads costs) or inference (for the proxy).')
    return connectKind(await context.openApp(), { provider, kind }) === 'admin'
      ? connectAdmin(provider, args, context)
      : connectForInference(provider, args, context)
  },
}

async function connectAdmin(
  provider: string,
  { values }: CommandArgs,
  { process, print, openApp }: CommandContext,
): Promise<number> {
  const app = await openApp()
  const { id, name: title, admin } = requireAdmin(app, provider)
  const key = await askForKey(process, `${title} key (${admin.key_help.kind})`, admin.key_help.url)
  const one = await connectProvider(app, {
    provider: id,
    name: values['name'] as string | undefined,
    base_url: parseBaseUrl(values['base-url']),
    key,
    actor: 'cli',
  })
  print(
    `Connected ${one.organization_name ?? title} as ${id} "${one.name}" (key ${one.fingerprint}). Next: outlay sync`,
  )
  return 0
}

/** The key that the proxy sends on; clients never see it. */
async function connectForInference(
  provider: string,
  { values }: CommandArgs,
  { process, print, openApp }: CommandContext,
): Promise<number> {
  const { key_help, name: title } = getInferenceApi(provider)
  const app = await openApp()
  const key = await askForKey(process, `${title} key (${key_help.kind})`, key_help.url)
  const { connected, note } = await connectInference(app, {
    provider,
    name: values['name'] as string | undefined,
    base_url: parseBaseUrl(values['base-url']),
    workspace: values['workspace'] as string | undefined,
    key,
    actor: 'cli',
  })
  if (note !== null) process.stderr.write(`${note}\n`)
  print(
    `Connected ${title} for inference as "${connected.name}" (key ${connected.fingerprint}). Next: outlay keys create <name>`,
  )
  return 0
}

function parseBaseUrl(text: string | boolean | undefined): string | undefined {
  if (typeof text !== 'string') return undefined
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new UserError(`--base-url: "${text}" is not an http or https URL.`)
  return text.replace(/\/+$/, '')
}

async function askForKey(process: Process, label: string, url: string): Promise<Secret> {
  if (process.stdin.isTTY) process.stderr.write(`Make one at ${url}\n`)
  const text = (await readSecret(process, `${label}: `)).trim()
  if (text === '') throw new UserError('No key was given; nothing was stored.')
  if (/\s/.test(text))
    throw new UserError('That is more than one word, so no key; nothing was stored.')
  return new Secret(text)
}

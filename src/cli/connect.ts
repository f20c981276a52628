import { UserError } from '../errors.ts'
import { connectProvider } from '../jobs/connect.ts'
import { requireAdmin } from '../jobs/sync.ts'
import { Secret } from '../secret.ts'
import { type Command, type Process, UsageError } from './command.ts'
import { readSecret } from './read-secret.ts'

export const connect: Command = {
  name: 'connect',
  usage: '<provider> [--name N] [--base-url U]',
  summary: 'Store a provider admin key, sealed; it is read from a hidden prompt or from stdin',
  options: {
    kind: { type: 'string' },
    name: { type: 'string' },
    'base-url': { type: 'string' },
  },
  positionals_max: 1,
  async run({ positionals: [provider], values }, { process, print, openApp }) {
    if (!provider)
      throw new UsageError('Usage: outlay connect <provider> [--name N] [--base-url U]')
    refuseKind(values['kind'])
    const app = await openApp()
    const { id, name: title, admin } = requireAdmin(app, provider)
    const key = await askForKey(
      process,
      `${title} key (${admin.key_help.kind})`,
      admin.key_help.url,
    )
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
  },
}

function refuseKind(kind: string | boolean | undefined): void {
  if (kind !== undefined && kind !== 'admin')
    throw new UserError(
      'Only admin keys can be stored so far: leave --kind out, or give --kind admin.',
    )
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

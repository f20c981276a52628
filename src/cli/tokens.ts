import { DAY_MS, isoTime } from '../clock.ts'
import { UserError } from '../errors.ts'
import {
  createAccessToken,
  listAccessTokens,
  revokeAccessToken,
  SCOPES,
  type Scope,
} from '../keys/access-token.ts'
import { type Command, type CommandArgs, type CommandContext, UsageError } from './command.ts'

const USAGE = 'list | create <name> [--scopes read,write,ingest] [--days N] | revoke <id>'

export const tokens: Command = {
  name: 'tokens',
  usage: USAGE,
  summary: 'Access tokens for MCP over HTTP and for telemetry from other machines',
  options: {
    scopes: { type: 'string' },
    days: { type: 'string' },
    json: { type: 'boolean' },
  },
  positionals_max: 2,
  async run(args, context) {
    const [action, subject] = args.positionals
    if (action === 'list') return list(args, context)
    if (action === 'create' && subject) return create(subject, args, context)
    if (action === 'revoke' && subject) return revoke(subject, context)
    throw new UsageError(`Usage: outlay tokens ${USAGE}`)
  },
}

async function list({ values }: CommandArgs, { print, openApp }: CommandContext): Promise<number> {
  const app = await openApp()
  const all = await listAccessTokens(app.db)
  if (values['json'] === true) print(JSON.stringify(all, null, 2))
  else if (all.length === 0) print('No access tokens. Make one: outlay tokens create <name>')
  else
    for (const { id, name, scopes, expires_at, revoked_at } of all)
      print(
        `${id}  ${name}  ${scopes.join(',')}  ${revoked_at === null ? '' : 'revoked '}${expires_at === null ? 'no expiry' : `expires ${isoTime(expires_at)}`}`,
      )
  return 0
}

/** The token is shown this once: only its hash is kept. */
async function create(
  name: string,
  { values }: CommandArgs,
  { print, openApp, process }: CommandContext,
): Promise<number> {
  const scopes = parseScopes(values['scopes'])
  const days = parseDays(values['days'])
  const app = await openApp()
  const at = app.clock.now()
  const expires_at = days === undefined ? null : at + days * DAY_MS
  const { id, token } = await createAccessToken(app.db, {
    name,
    scopes,
    expires_at,
    at,
    actor: 'cli',
  })
  if (values['json'] === true)
    print(JSON.stringify({ id, name, scopes, expires_at, token: token.reveal() }))
  else {
    process.stderr.write('This is shown once; keep it where secrets are kept.\n')
    print(token.reveal())
  }
  return 0
}

async function revoke(token: string, { print, openApp }: CommandContext): Promise<number> {
  const app = await openApp()
  await revokeAccessToken(app.db, { token, at: app.clock.now(), actor: 'cli' })
  print('Revoked; it is refused from the next request on.')
  return 0
}

function parseScopes(text: string | boolean | undefined): Scope[] {
  if (typeof text !== 'string') return ['read']
  return text.split(',').map((word) => {
    const scope = SCOPES.find((one) => one === word.trim())
    if (!scope) throw new UserError(`--scopes: "${word}" is none of ${SCOPES.join(', ')}.`)
    return scope
  })
}

function parseDays(text: string | boolean | undefined): number | undefined {
  if (typeof text !== 'string') return undefined
  const days = Number(text)
  if (!Number.isInteger(days) || days < 1 || days > 3_650)
    throw new UserError('--days must be a whole number from 1 to 3650.')
  return days
}

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { closest } from './closest.ts'
import { UserError } from './errors.ts'
import { isTimeZone } from './period.ts'
import { Secret } from './secret.ts'

/** A provider's environment: what `parseConfig` has to know of it. */
export type ProviderEnv = {
  readonly id: string
  readonly key_env: string
  readonly base_url_env: string
}

type Env = Readonly<Record<string, string | undefined>>

const BaseUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .transform((url) => url.replace(/\/+$/, ''))

/** Every `OUTLAY_*` variable that is not a provider's. The texts are the README's table too. */
export const Variables = z.object({
  OUTLAY_HOME: z
    .string()
    .transform((path) => resolve(path))
    .optional(),
  OUTLAY_DATABASE_URL: z
    .string()
    .regex(/^(sqlite:.+|postgres(ql)?:\/\/.+)$/, 'must be sqlite:/path or postgres://…')
    .optional(),
  OUTLAY_HOST: z.string().default('127.0.0.1'),
  OUTLAY_PORT: z.coerce.number().int().min(0).max(65_535).default(4318),
  OUTLAY_SIDE_PORT: z.enum(['on', 'off']).default('on'),
  OUTLAY_ALLOWED_HOSTS: z
    .string()
    .default('')
    .transform((hosts) =>
      hosts
        .split(',')
        .map((host) => host.trim())
        .filter(Boolean),
    ),
  OUTLAY_TIMEZONE: z
    .string()
    .refine(isTimeZone, 'must be an IANA time zone such as Europe/Berlin')
    .optional(),
  OUTLAY_READ_ONLY: z
    .enum(['on', 'off', 'true', 'false', '1', '0'])
    .default('off')
    .transform((value) => ['on', 'true', '1'].includes(value)),
  OUTLAY_MASTER_KEY: z
    .string()
    .transform((text) => new Secret(text))
    .optional(),
  OUTLAY_MASTER_KEY_FILE: z
    .string()
    .transform((path) => resolve(path))
    .optional(),
  OUTLAY_SQLITE: z.enum(['auto', 'better-sqlite3', 'node']).default('auto'),
  OUTLAY_PROJECT_NAMES: z.enum(['name', 'hash', 'off']).default('name'),
  OUTLAY_TAGS: z
    .string()
    .default('')
    .transform((names) =>
      names
        .split(',')
        .map((name) => name.trim())
        .filter(Boolean),
    )
    .refine(
      (names) => names.every((name) => /^[\w.-]{1,64}$/.test(name)),
      'must be names of attributes, separated by commas',
    ),
  OUTLAY_NOW: z
    .string()
    .transform((text) => Date.parse(text))
    .refine((at) => !Number.isNaN(at), 'must be an ISO 8601 instant')
    .optional(),
})

export type Config = {
  readonly home: string
  readonly database: { readonly kind: 'sqlite'; readonly path: string }
  readonly host: string
  readonly port: number
  readonly has_side_port: boolean
  readonly allowed_hosts: readonly string[]
  readonly timezone: string
  readonly is_read_only: boolean
  readonly master_key: Secret | undefined
  readonly master_key_file: string
  readonly sqlite: 'auto' | 'better-sqlite3' | 'node'
  /** How a project is called: by its folder's last segment, by a hash of its path, or not at all. */
  readonly project_names: 'name' | 'hash' | 'off'
  /** Where the coding assistants keep their sessions, in their own variables. */
  readonly folder_env: FolderEnv
  /** Telemetry attributes that become tags, besides the usual ones. */
  readonly tags: readonly string[]
  /** Tests only: the clock stands still here. */
  readonly now: number | undefined
  readonly providers: Readonly<Record<string, ProviderConfig>>
  /** By provider: where the proxy sends requests, if not to the real host. */
  readonly upstream_base_urls: Readonly<Record<string, string>>
}

export type ProviderConfig = {
  readonly admin_key: Secret | undefined
  readonly admin_base_url: string | undefined
}

export type FolderEnv = Readonly<Record<string, string | undefined>> & { readonly HOME: string }

const FOLDER_VARIABLES = [
  'CLAUDE_CONFIG_DIR',
  'CODEX_HOME',
  'GEMINI_CLI_HOME',
  'OPENCODE_DATA_DIR',
  'XDG_CONFIG_HOME',
  'XDG_DATA_HOME',
] as const

/** Where the proxy reaches a provider, if not at its real host. OpenAI's value ends in `/v1`. */
const UPSTREAM_ENVS = {
  anthropic: 'OUTLAY_ANTHROPIC_BASE_URL',
  openai: 'OUTLAY_OPENAI_BASE_URL',
  google: 'OUTLAY_GOOGLE_BASE_URL',
} as const

/**
 * Reads the environment once. An empty value or an unexpanded `${…}` counts as unset.
 * @throws UserError that names the variable, and the closest known one for an unknown name.
 */
export function parseConfig(env: Env, providers: readonly ProviderEnv[]): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && isSet(value)),
  )
  refuseUnknown(Object.keys(given), providers)
  const read = parse(Variables, given)
  const home = read.OUTLAY_HOME ?? dataFolder(env)
  let timezone = read.OUTLAY_TIMEZONE
  return Object.freeze({
    home,
    database: sqliteDatabase(read.OUTLAY_DATABASE_URL, home),
    host: read.OUTLAY_HOST,
    port: read.OUTLAY_PORT,
    has_side_port: read.OUTLAY_SIDE_PORT === 'on',
    allowed_hosts: read.OUTLAY_ALLOWED_HOSTS,
    get timezone() {
      // Asking for the system's zone loads all of ICU's data: 25 ms that only a question about days pays.
      timezone ??= Intl.DateTimeFormat().resolvedOptions().timeZone
      return timezone
    },
    is_read_only: read.OUTLAY_READ_ONLY,
    master_key: read.OUTLAY_MASTER_KEY,
    master_key_file: read.OUTLAY_MASTER_KEY_FILE ?? join(home, 'master.key'),
    sqlite: read.OUTLAY_SQLITE,
    project_names: read.OUTLAY_PROJECT_NAMES,
    folder_env: folderEnv(env),
    tags: read.OUTLAY_TAGS,
    now: read.OUTLAY_NOW,
    providers: Object.fromEntries(providers.map((one) => [one.id, providerConfig(one, given)])),
    upstream_base_urls: upstreamBaseUrls(given),
  })
}

function upstreamBaseUrls(given: Env): Record<string, string> {
  const shape = Object.values(UPSTREAM_ENVS).map((name) => [name, BaseUrl.optional()] as const)
  const read = parse(z.object(Object.fromEntries(shape)), given)
  return Object.fromEntries(
    Object.entries(UPSTREAM_ENVS).flatMap(([id, name]) => {
      const base_url = read[name]
      return base_url === undefined ? [] : [[id, base_url]]
    }),
  )
}

function providerConfig({ key_env, base_url_env }: ProviderEnv, given: Env): ProviderConfig {
  const key = given[key_env]?.trim()
  return {
    admin_key: key ? new Secret(key) : undefined,
    admin_base_url: parse(z.object({ [base_url_env]: BaseUrl.optional() }), given)[base_url_env],
  }
}

function parse<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  given: Env,
): z.output<z.ZodObject<Shape>> {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new UserError(`${String(issue?.path[0])}: ${issue?.message ?? 'not valid'}.`)
}

function refuseUnknown(names: readonly string[], providers: readonly ProviderEnv[]): void {
  const known = [
    ...Object.keys(Variables.shape),
    ...Object.values(UPSTREAM_ENVS),
    ...providers.map((one) => one.base_url_env),
  ]
  const unknown = names.find((name) => name.startsWith('OUTLAY_') && !known.includes(name))
  if (!unknown) return
  const near = closest(unknown, known)
  throw new UserError(
    `Unknown variable ${unknown}.${near ? ` Did you mean ${near}?` : ` Known: ${known.join(', ')}.`}`,
  )
}

function isSet(value: string): boolean {
  return value.trim() !== '' && !/^\$\{[^}]*\}$/.test(value.trim())
}

function sqliteDatabase(url: string | undefined, home: string): Config['database'] {
  if (url && !url.startsWith('sqlite:'))
    throw new UserError('OUTLAY_DATABASE_URL: PostgreSQL is not supported yet; use sqlite:/path.')
  const path = url?.replace(/^sqlite:(\/\/)?/, '')
  return { kind: 'sqlite', path: path ? resolve(path) : join(home, 'outlay.db') }
}

function folderEnv(env: Env): FolderEnv {
  const folders = FOLDER_VARIABLES.map((name) => [name, env[name]?.trim() || undefined])
  return { ...Object.fromEntries(folders), HOME: env['HOME'] || env['USERPROFILE'] || homedir() }
}

/** The platform's folder for application data: XDG, Application Support or LocalAppData. */
function dataFolder(env: Env): string {
  const local = env['LOCALAPPDATA']
  if (local) return join(local, 'Outlay')
  const home = env['HOME'] ?? homedir()
  if (home.startsWith('/Users/')) return join(home, 'Library', 'Application Support', 'Outlay')
  return join(env['XDG_DATA_HOME'] || join(home, '.local', 'share'), 'outlay')
}

import type { FolderEnv } from '../config.ts'
import type { UsageEvent } from '../ledger/event.ts'

export const CLIENT_IDS = ['claude-code', 'codex', 'gemini-cli', 'opencode'] as const
export type ClientId = (typeof CLIENT_IDS)[number]

/** Those whose requests do not say of which session they are, so that the proxy cannot know it. */
export const SESSIONLESS: ReadonlySet<string | null> = new Set(['gemini-cli'])

/** A coding assistant that keeps its sessions in files. */
export type LocalClient = {
  readonly id: ClientId
  readonly title: string
  /** Where its files are, whether they exist or not. */
  folders(env: FolderEnv): string[]
  /** `lines`: one JSON object a line, appended to. `document`: one JSON value, rewritten. */
  formatOf(name: string): 'lines' | 'document' | 'database' | undefined
  /** Two files in the order in which their sessions began. */
  compare(a: LogFile, b: LogFile): number
  open(context: LogContext): LogReader
}

export type LogFile = {
  /** Never stored and never logged: see `path_hash`. */
  readonly path: string
  readonly name: string
  readonly size: number
  readonly mtime_ms: number
  readonly format: 'lines' | 'document' | 'database'
}

export type LogContext = {
  readonly file: Pick<LogFile, 'name' | 'mtime_ms'>
  /** What the reader of the file's earlier part left; undefined at the file's start. */
  readonly state: unknown
  readonly billing_mode: UsageEvent['billing_mode']
  /** A project's name out of its folder, by the user's choice; null without a name. */
  project(folder: string | null): string | null
  /** What is booked, up to an instant, of a session and of those that it came from. */
  listInherited(session_id: string, until: number): Promise<Inherited>
}

export type Inherited = {
  readonly session_ids: readonly string[]
  readonly entry_ids: ReadonlySet<string>
}

/** Reads a file's JSON values in order. It keeps nothing but what the next value needs. */
export type LogReader = {
  /** Whether a line can matter, decided on its bytes, so that most lines are never parsed. */
  matters(bytes: Buffer): boolean
  /** The usage of one value. Null: it is not of the shape that it claims to have. */
  read(value: unknown): readonly UsageEvent[] | null | Promise<readonly UsageEvent[] | null>
  /** Plain data for the next reader of the same file, without content. */
  state(): object
  readonly session_id: string | null
  readonly parent_session_id: string | null
}

/** The program whose vendor is billed for a model, judged by the model's name. */
export function providerOf(model: string): string {
  const name = model.toLowerCase()
  if (/^(?:[a-z-]{2,12}\.)?(?:anthropic|amazon|meta|mistral)\./.test(name)) return 'aws'
  if (name.includes('/')) return 'openrouter'
  return PROVIDERS.find(([pattern]) => pattern.test(name))?.[1] ?? 'unknown'
}

const PROVIDERS: readonly (readonly [RegExp, string])[] = [
  [/^claude/, 'anthropic'],
  [/^(?:gpt|o\d|codex|chatgpt)/, 'openai'],
  [/^(?:gemini|gemma)/, 'google'],
  [/^deepseek/, 'deepseek'],
  [/^(?:kimi|moonshot)/, 'moonshotai'],
  [/^(?:mistral|devstral|codestral|magistral)/, 'mistral'],
  [/^grok/, 'x-ai'],
  [/^minimax/, 'minimax'],
  [/^glm/, 'zhipu'],
  [/^qwen/, 'alibaba'],
]

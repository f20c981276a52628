import { join } from 'node:path'
import type { FolderEnv } from '../config.ts'
import { sha256 } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { nanosFromUsd } from '../money.ts'
import { NO_USAGE, TOKEN_CLASSES } from '../usage.ts'
import type { LocalClient, LogContext, LogReader } from './client.ts'
import { countOf, type Fields, fieldsOf, instantOf, textOf } from './fields.ts'

/**
 * Messages of opencode: one JSON document each, or rows of a database in newer versions. Forked
 * sessions copy messages under new ids, with their times and tokens.
 * https://github.com/sst/opencode/blob/dev/packages/opencode/src/session
 */
export const opencode: LocalClient = {
  id: 'opencode',
  title: 'opencode',
  folders(env: FolderEnv) {
    const data = env['XDG_DATA_HOME'] || join(env.HOME, '.local', 'share')
    return [env['OPENCODE_DATA_DIR'] || join(data, 'opencode')]
  },
  formatOf(name) {
    if (/^opencode[\w-]*\.db$/.test(name)) return 'database'
    return /^storage[/\\]message[/\\].*\.json$/.test(name) ? 'document' : undefined
  },
  compare: (a, b) => a.mtime_ms - b.mtime_ms || (a.path < b.path ? -1 : 1),
  open: openMessages,
}

function openMessages(context: LogContext): LogReader {
  let session_id: string | null = null
  return {
    matters: () => true,
    read(value) {
      const message = fieldsOf(value)
      if (!message) return null
      session_id = textOf(message['sessionID'])
      return message['role'] === 'assistant' ? readMessage(message, context) : []
    },
    state: () => ({}),
    get session_id() {
      return session_id
    },
    parent_session_id: null,
  }
}

function readMessage(message: Fields, context: LogContext): UsageEvent[] {
  const tokens = fieldsOf(message['tokens'])
  const time = fieldsOf(message['time'])
  const completed_at = instantOf(time?.['completed'])
  // Until it is complete its counts can still change.
  if (!tokens || completed_at === undefined) return []
  const usage = usageOf(tokens)
  if (TOKEN_CLASSES.every((name) => usage[name] === 0)) return []
  const occurred_at = instantOf(time?.['created']) ?? completed_at
  const provider = textOf(message['providerID'])?.toLowerCase() ?? 'unknown'
  const model = textOf(message['modelID']) ?? ''
  const counts = TOKEN_CLASSES.map((name) => usage[name]).join(' ')
  return [
    {
      id: sha256('opencode', String(occurred_at), String(completed_at), provider, model, counts),
      source: 'local_log',
      signal: null,
      client: 'opencode',
      provider: PROVIDERS[provider] ?? provider,
      model,
      occurred_at,
      session_id: textOf(message['sessionID']),
      request_id: null,
      user: null,
      project: context.project(textOf(fieldsOf(message['path'])?.['root'])),
      billing_mode: context.billing_mode,
      service_tier: null,
      speed: null,
      usage,
      reported_cost_nanos: costOf(message['cost']),
      tags: {},
    },
  ]
}

/** Its names of providers that are called otherwise here: https://models.dev */
const PROVIDERS: Readonly<Record<string, string>> = {
  'google-vertex': 'google',
  'google-vertex-anthropic': 'anthropic',
  'amazon-bedrock': 'aws',
  xai: 'x-ai',
}

/** Zero is what it says of subscriptions and of models that it has no price for. */
function costOf(value: unknown): bigint | null {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
    ? nanosFromUsd(value)
    : null
}

/**
 * Input is without cached tokens. Output was with reasoning in it once and is without it now; the
 * total tells which. Where there is none, reasoning beyond the output cannot be in it.
 */
function usageOf(tokens: Fields) {
  const cache = fieldsOf(tokens['cache'])
  const input = countOf(tokens['input'])
  const output = countOf(tokens['output'])
  const reasoning = countOf(tokens['reasoning'])
  const read = countOf(cache?.['read'])
  const written = countOf(cache?.['write'])
  const total = countOf(tokens['total'])
  const is_apart = total > 0 ? total > input + read + written + output : reasoning > output
  return {
    ...NO_USAGE,
    uncached_input_tokens: input,
    cache_read_tokens: read,
    cache_write_5m_tokens: written,
    output_tokens: is_apart ? output + reasoning : output,
    reasoning_tokens: reasoning,
    requests: 1,
  }
}

import { join } from 'node:path'
import type { FolderEnv } from '../config.ts'
import { sha256 } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { NO_USAGE, TOKEN_CLASSES } from '../usage.ts'
import { type LocalClient, type LogContext, type LogReader, providerOf } from './client.ts'
import { countOf, type Fields, fieldsOf, instantOf, listOf, textOf } from './fields.ts'

/**
 * Chats of Gemini CLI: one JSON document a session, or in newer versions a log of records in which a
 * message is written anew whenever it changes. Rewound messages were paid for, so they stay.
 * https://github.com/google-gemini/gemini-cli/blob/main/packages/core/src/services/chatRecordingService.ts
 */
export const geminiCli: LocalClient = {
  id: 'gemini-cli',
  title: 'Gemini CLI',
  folders: (env: FolderEnv) => [join(env['GEMINI_CLI_HOME'] || env.HOME, '.gemini', 'tmp')],
  formatOf(name) {
    if (!/[/\\]chats[/\\]/.test(`/${name}`)) return undefined
    if (name.endsWith('.jsonl')) return 'lines'
    return name.endsWith('.json') ? 'document' : undefined
  },
  compare: (a, b) => a.mtime_ms - b.mtime_ms || (a.path < b.path ? -1 : 1),
  open: openChat,
}

type State = { session_id: string | null; project: string | null }

function openChat(context: LogContext): LogReader {
  const state = (context.state as State | undefined) ?? { session_id: null, project: null }
  return {
    matters: () => true,
    read(value) {
      const record = fieldsOf(value)
      if (!record) return null
      const patch = fieldsOf(record['$set']) ?? record
      state.session_id = textOf(patch['sessionId']) ?? state.session_id
      const [folder] = listOf(patch['directories'])
      if (folder !== undefined) state.project = context.project(textOf(folder))
      return [record, ...listOf(patch['messages'])].flatMap((message) =>
        readMessage(fieldsOf(message), state, context),
      )
    },
    state: () => state,
    get session_id() {
      return state.session_id
    },
    parent_session_id: null,
  }
}

function readMessage(message: Fields | undefined, state: State, context: LogContext): UsageEvent[] {
  const tokens = fieldsOf(message?.['tokens'])
  if (!message || !tokens) return []
  const usage = usageOf(tokens)
  if (TOKEN_CLASSES.every((name) => usage[name] === 0)) return []
  const { session_id, project } = state
  const model = textOf(message['model']) ?? ''
  const occurred_at = instantOf(message['timestamp']) ?? context.file.mtime_ms
  const message_id = textOf(message['id']) ?? `${session_id} ${occurred_at}`
  return [
    {
      id: sha256('gemini-cli', message_id),
      source: 'local_log',
      signal: null,
      client: 'gemini-cli',
      provider: model === '' ? 'google' : providerOf(model),
      model,
      occurred_at,
      session_id,
      request_id: null,
      user: null,
      project,
      billing_mode: context.billing_mode,
      service_tier: null,
      speed: null,
      usage,
      reported_cost_nanos: null,
      tags: {},
    },
  ]
}

/**
 * Gemini counts cached tokens inside input, and thoughts and tool prompts beside it:
 * https://ai.google.dev/api/generate-content#UsageMetadata
 */
function usageOf(tokens: Fields) {
  const input = countOf(tokens['input'])
  const cached = Math.min(countOf(tokens['cached']), input)
  const thoughts = countOf(tokens['thoughts'])
  return {
    ...NO_USAGE,
    uncached_input_tokens: input - cached + countOf(tokens['tool']),
    cache_read_tokens: cached,
    output_tokens: countOf(tokens['output']) + thoughts,
    reasoning_tokens: thoughts,
    requests: 1,
  }
}

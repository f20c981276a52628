import { join } from 'node:path'
import type { FolderEnv } from '../config.ts'
import { sha256 } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { NO_USAGE, TOKEN_CLASSES, type Usage } from '../usage.ts'
import { type LocalClient, type LogContext, providerOf } from './client.ts'
import { countOf, type Fields, fieldsOf, instantOf, listOf, textOf } from './fields.ts'

/**
 * Transcripts of Claude Code: https://code.claude.com/docs/en/monitoring-usage names the fields that
 * telemetry shares. A message is written once per content block, so that its lines repeat the same
 * usage with growing output; resumed and forked sessions copy lines into new files. The message's own
 * id tells them apart from new requests, in whatever file they are.
 */
export const claudeCode: LocalClient = {
  id: 'claude-code',
  title: 'Claude Code',
  folders,
  formatOf: (name) => (name.endsWith('.jsonl') ? 'lines' : undefined),
  compare: (a, b) => a.mtime_ms - b.mtime_ms || (a.path < b.path ? -1 : 1),
  open: openTranscript,
}

function folders(env: FolderEnv): string[] {
  const configured = env['CLAUDE_CONFIG_DIR']?.split(',').map((dir) => dir.trim())
  const config = env['XDG_CONFIG_HOME'] || join(env.HOME, '.config')
  const dirs = configured?.some(Boolean)
    ? configured.filter(Boolean)
    : [join(env.HOME, '.claude'), join(config, 'claude')]
  const desktop = ['Library', 'Application Support', 'Claude', 'local-agent-mode-sessions']
  return [...dirs.map((dir) => join(dir, 'projects')), join(env.HOME, ...desktop)]
}

const ASSISTANT = Buffer.from('"assistant"')
const USAGE = Buffer.from('"usage"')

function openTranscript(context: LogContext) {
  let session_id: string | null = null
  return {
    matters: (bytes: Buffer) => bytes.includes(ASSISTANT) && bytes.includes(USAGE),
    read(value: unknown) {
      const line = fieldsOf(value)
      if (line?.['type'] !== 'assistant') return []
      session_id ??= textOf(line['sessionId'])
      return readMessage(line, context)
    },
    state: () => ({}),
    get session_id() {
      return session_id
    },
    parent_session_id: null,
  }
}

/** Lines that the client writes itself, such as of an error, name no model and cost nothing. */
const SYNTHETIC = '<synthetic>'

function readMessage(line: Fields, context: LogContext): UsageEvent[] | null {
  const message = fieldsOf(line['message'])
  const usage = fieldsOf(message?.['usage'])
  if (!message || !usage) return []
  const model = textOf(message['model'])
  if (model === SYNTHETIC) return []
  const occurred_at = instantOf(line['timestamp']) ?? context.file.mtime_ms
  const event = eventOf({ line, message, usage, occurred_at }, context)
  const main = {
    ...event,
    model: model ?? '',
    provider: providerOf(model ?? ''),
    usage: usageOf(usage),
  }
  const events = [main, ...listInner(usage, main)]
  return events.filter(
    ({ usage: { units, ...tokens } }) =>
      units > 0 || TOKEN_CLASSES.some((name) => tokens[name] > 0),
  )
}

type Told = {
  readonly line: Fields
  readonly message: Fields
  readonly usage: Fields
  readonly occurred_at: number
}

function eventOf({ line, message, usage, occurred_at }: Told, context: LogContext) {
  const request_id = textOf(line['requestId'])
  return {
    id: idOf({ line, message, usage, occurred_at }),
    source: 'local_log',
    signal: null,
    client: 'claude-code',
    occurred_at,
    session_id: textOf(line['sessionId']),
    request_id,
    user: null,
    project: context.project(textOf(line['cwd'])),
    billing_mode: context.billing_mode,
    service_tier: textOf(usage['service_tier']),
    speed: usage['speed'] === 'fast' ? 'fast' : null,
    inference_geo: textOf(usage['inference_geo']),
    reported_cost_nanos: null,
    tags: {},
  } as const
}

/**
 * The message's id alone, since gateways and some sub-agents leave the request id out; a message
 * without an id goes by its request, then by its line.
 */
function idOf({ line, message, usage, occurred_at }: Told): string {
  const message_id = textOf(message['id'])
  if (message_id) return sha256('claude-code', 'message', message_id)
  const request_id = textOf(line['requestId'])
  if (request_id) return sha256('claude-code', 'request', request_id)
  const line_id = textOf(line['uuid']) ?? `${textOf(line['sessionId'])} ${occurred_at}`
  return sha256('claude-code', 'line', line_id, JSON.stringify(usageOf(usage)))
}

/** Anthropic counts input without cached tokens: https://platform.claude.com/docs/en/build-with-claude/prompt-caching */
function usageOf(usage: Fields): Usage {
  const searches = countOf(fieldsOf(usage['server_tool_use'])?.['web_search_requests'])
  return {
    ...NO_USAGE,
    uncached_input_tokens: countOf(usage['input_tokens']),
    cache_read_tokens: countOf(usage['cache_read_input_tokens']),
    ...cacheWrites(usage),
    output_tokens: countOf(usage['output_tokens']),
    requests: 1,
    unit: searches > 0 ? 'web_search' : null,
    units: searches,
  }
}

/** Writes that live an hour cost more; what the breakdown does not name lives five minutes. */
function cacheWrites(usage: Fields) {
  const written = countOf(usage['cache_creation_input_tokens'])
  const by_life = fieldsOf(usage['cache_creation'])
  const hour = countOf(by_life?.['ephemeral_1h_input_tokens'])
  const short = countOf(by_life?.['ephemeral_5m_input_tokens'])
  return {
    cache_write_5m_tokens: Math.max(short, written - hour),
    cache_write_1h_tokens: hour,
  }
}

/**
 * Inferences inside the request that the message's own counts leave out: an advisor of another model,
 * and the compaction of the context.
 * https://platform.claude.com/docs/en/build-with-claude/compaction
 */
function listInner(usage: Fields, main: UsageEvent): UsageEvent[] {
  return listOf(usage['iterations']).flatMap((value, i) => {
    const inner = fieldsOf(value)
    const kind = inner?.['type']
    if (!inner || (kind !== 'advisor_message' && kind !== 'compaction')) return []
    const model = textOf(inner['model']) ?? main.model
    return {
      ...main,
      id: sha256(main.id, String(kind), String(i)),
      // Two entries with one request id would be taken for the same request.
      request_id: null,
      model,
      provider: providerOf(model),
      usage: usageOf(inner),
    }
  })
}

import { join } from 'node:path'
import type { FolderEnv } from '../config.ts'
import { sha256 } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import { NO_USAGE } from '../usage.ts'
import type { Inherited, LocalClient, LogContext, LogReader } from './client.ts'
import {
  countTokens,
  isNothing,
  keyOf,
  type Meter,
  newMeter,
  type Totals,
  totalsOf,
} from './codex-meter.ts'
import { type Fields, fieldsOf, instantOf, textOf } from './fields.ts'

/**
 * Rollouts of Codex: lines of `{timestamp, type, payload}`, of which `token_count` tells the session's
 * running totals. A fork's or sub-agent's file can begin with its parent's history, freshly stamped.
 * https://github.com/openai/codex/tree/main/codex-rs/rollout
 */
export const codex: LocalClient = {
  id: 'codex',
  title: 'Codex',
  folders(env: FolderEnv) {
    const configured = env['CODEX_HOME']
      ?.split(',')
      .map((dir) => dir.trim())
      .filter(Boolean)
    const homes = configured?.length ? configured : [join(env.HOME, '.codex')]
    return homes.flatMap((home) => [join(home, 'sessions'), join(home, 'archived_sessions')])
  },
  // Old rollouts are compressed in place: their lines are the same.
  formatOf: (name) => (/\.jsonl(?:\.zst)?$/.test(name) ? 'lines' : undefined),
  // Names begin with the time at which the session began: a parent comes before its children.
  compare: (a, b) => (a.name === b.name ? (a.path < b.path ? -1 : 1) : a.name < b.name ? -1 : 1),
  open: openRollout,
}

type State = {
  session_id: string | null
  parent_session_id: string | null
  began_at: number
  model: string
  provider: string
  project: string | null
  service_tier: string | null
  meter: Meter
}

const KINDS = ['"token_count"', '"session_meta"', '"turn_context"'].map((kind) => Buffer.from(kind))
const SESSION_ID = /([0-9a-f]{8}-[0-9a-f-]{27})\.jsonl/

function openRollout(context: LogContext): LogReader {
  const state = (context.state as State | undefined) ?? {
    session_id: null,
    parent_session_id: null,
    began_at: 0,
    model: '',
    provider: 'openai',
    project: null,
    service_tier: null,
    meter: newMeter(),
  }
  let inherited: Inherited | undefined
  return {
    matters: (bytes) => KINDS.some((kind) => bytes.includes(kind)),
    async read(value) {
      const line = fieldsOf(value)
      const payload = fieldsOf(line?.['payload'])
      if (!line || !payload) return []
      if (line['type'] === 'session_meta') readMeta(state, line, payload, context)
      else if (line['type'] === 'turn_context') readTurn(state, payload)
      else if (line['type'] === 'event_msg' && payload['type'] === 'token_count') {
        if (state.parent_session_id)
          inherited ??= await context.listInherited(state.parent_session_id, state.began_at)
        return readCount(state, { line, payload, inherited }, context)
      }
      return []
    },
    state: () => state,
    get session_id() {
      return state.session_id
    },
    get parent_session_id() {
      return state.parent_session_id
    },
  }
}

/** The first one is the file's own; a fork repeats its parent's after it. */
function readMeta(state: State, line: Fields, payload: Fields, context: LogContext): void {
  if (state.session_id !== null) return
  const spawn = fieldsOf(fieldsOf(fieldsOf(payload['source'])?.['subagent'])?.['thread_spawn'])
  state.session_id = textOf(payload['id']) ?? textOf(payload['session_id'])
  state.parent_session_id =
    textOf(payload['forked_from_id']) ??
    textOf(payload['parent_thread_id']) ??
    textOf(spawn?.['parent_thread_id'])
  if (state.parent_session_id === state.session_id) state.parent_session_id = null
  state.began_at = instantOf(payload['timestamp']) ?? instantOf(line['timestamp']) ?? 0
  state.provider = textOf(payload['model_provider'])?.toLowerCase() ?? 'openai'
  state.model ||= textOf(payload['model']) ?? ''
  state.project = context.project(textOf(payload['cwd']))
}

function readTurn(state: State, payload: Fields): void {
  state.model = textOf(payload['model']) ?? state.model
  state.service_tier = textOf(payload['service_tier']) ?? state.service_tier
}

type Count = {
  readonly line: Fields
  readonly payload: Fields
  readonly inherited: Inherited | undefined
}

function readCount(state: State, count: Count, context: LogContext): UsageEvent[] | null {
  const info = fieldsOf(count.payload['info'])
  // Without it the line only refreshes the rate limits.
  if (!info) return []
  const total = totalsOf(info['total_token_usage'])
  const last = totalsOf(info['last_token_usage'])
  if (!total && !last) return null
  const occurred_at = instantOf(count.line['timestamp']) ?? context.file.mtime_ms
  const spent = countTokens(state.meter, { total, last }, (key) =>
    isInherited(state, { key, occurred_at, inherited: count.inherited }),
  )
  if (!spent || isNothing(spent)) return []
  state.session_id ??= SESSION_ID.exec(context.file.name)?.[1] ?? sha256(context.file.name)
  const key = total ? keyOf(total) : `${occurred_at} ${keyOf(spent)}`
  return [eventOf(state, { key, occurred_at, spent }, context)]
}

/** Less than a model needs to answer: what is told of a new session sooner was copied into it. */
const COPIED_MS = 1_000
/** A total that the parent had too was copied when it comes this soon; later it is a coincidence. */
const COPIED_SAME_MS = 5_000

/** Whether a total is the history that a fork's file begins with: its parent's, not its own. */
function isInherited(
  { began_at, meter, parent_session_id }: State,
  given: { key: string; occurred_at: number; inherited: Inherited | undefined },
): boolean {
  if (parent_session_id === null) return false
  const after_ms = given.occurred_at - began_at
  const { session_ids = [], entry_ids } = given.inherited ?? {}
  // Copied lines keep their old times in some versions.
  if (after_ms < 0) return true
  if (!entry_ids || entry_ids.size === 0) return after_ms < COPIED_MS
  const is_near = meter.inherited > 0 || after_ms < COPIED_SAME_MS
  return is_near && session_ids.some((id) => entry_ids.has(idOf(id, given.key)))
}

type Spent = { readonly key: string; readonly occurred_at: number; readonly spent: Totals }

function eventOf(
  state: State,
  { key, occurred_at, spent }: Spent,
  context: LogContext,
): UsageEvent {
  const { session_id, model, provider, project, service_tier } = state
  return {
    id: idOf(session_id, key),
    source: 'local_log',
    signal: null,
    client: 'codex',
    provider,
    model,
    occurred_at,
    session_id,
    request_id: null,
    user: null,
    project,
    billing_mode: context.billing_mode,
    service_tier,
    speed: null,
    usage: usageOf(spent),
    reported_cost_nanos: null,
    tags: {},
  }
}

function idOf(session_id: string | null, key: string): string {
  return sha256('codex', session_id ?? '', key)
}

/** OpenAI counts cached tokens inside input and reasoning inside output. */
function usageOf([input, cached, written, output, reasoning]: Totals) {
  return {
    ...NO_USAGE,
    uncached_input_tokens: Math.max(0, input - cached - written),
    cache_read_tokens: Math.min(cached, input),
    cache_write_5m_tokens: written,
    output_tokens: output,
    reasoning_tokens: Math.min(reasoning, output),
    requests: 1,
  }
}

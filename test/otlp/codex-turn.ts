import { attribute, encode, type Tree } from './wire.ts'

/**
 * What Codex 0.169 sends, in its proportions: of ten records one says what a request used, the others
 * tell how it went, and what its tools printed. https://github.com/openai/codex/tree/main/codex-rs/otel
 */
const RECORDS_PER_REQUEST = 10
const REQUESTS_PER_CONVERSATION = 8

/** How every conversation's id begins. */
export const CONVERSATION_PREFIX = '019a0000'

/** The instant that every record of a turn names, to be written over. */
export const TURN_TIMESTAMP = '2026-11-24T09:59:58.123Z'

const SCOPE = 'codex_otel.log_only'
const RESOURCE: Readonly<Record<string, string>> = {
  'service.name': 'codex_exec',
  'service.version': '0.169.0',
  env: 'dev',
  'team.id': 'platform',
  'host.name': 'host',
  'telemetry.sdk.name': 'opentelemetry',
  'telemetry.sdk.language': 'rust',
  'telemetry.sdk.version': '0.31.0',
}

type Value = string | number | boolean
type Values = Readonly<Record<string, Value>>

function commonValues(index: number): Values {
  const conversation = `${CONVERSATION_PREFIX}-0000-7000-8000-${String(index).padStart(12, '0')}`
  return {
    'event.timestamp': TURN_TIMESTAMP,
    'conversation.id': conversation,
    'app.version': '0.169.0',
    originator: 'codex_exec',
    'terminal.type': 'xterm-256color',
    model: 'gpt-5.4',
    slug: 'gpt-5.4',
  }
}

/** What the stream of an answer is made of, each told as an event of its own. */
const STREAMED = [
  'response.created',
  'response.output_item.added',
  'response.output_text.delta',
  'response.output_text.delta',
  'response.output_item.done',
  'response.completed',
]

function recordValues(index: number): Values {
  const request = Math.floor(index / RECORDS_PER_REQUEST)
  const common = commonValues(Math.floor(request / REQUESTS_PER_CONVERSATION))
  const step = index % RECORDS_PER_REQUEST
  const duration_ms = String(20 + (index % 700))
  if (step === 0)
    return {
      'event.name': 'codex.api_request',
      duration_ms,
      'http.response.status_code': 200,
      attempt: 0,
      'auth.header_attached': true,
      'auth.header_name': 'authorization',
      'auth.retry_after_unauthorized': false,
      endpoint: '/responses',
      'auth.env_openai_api_key_present': false,
      'auth.env_codex_api_key_present': false,
      'auth.env_codex_api_key_enabled': true,
      'auth.env_provider_key_name': 'configured',
      'auth.env_provider_key_present': true,
      'auth.env_refresh_token_url_override_present': false,
      ...common,
    }
  const kind = STREAMED[step - 1]
  if (kind) return { 'event.name': 'codex.sse_event', 'event.kind': kind, duration_ms, ...common }
  if (step === STREAMED.length + 1)
    return {
      'event.name': 'codex.sse_event',
      'event.kind': 'response.completed',
      input_token_count: String(12_000 + (request % 900)),
      output_token_count: String(300 + (request % 90)),
      cached_token_count: 10_000,
      cache_write_token_count: 0,
      reasoning_token_count: 128,
      tool_token_count: '12645',
      ttft_ms: 210 + (request % 40),
      ...common,
    }
  const call = {
    tool_name: 'exec_command',
    tool_namespace: 'functions',
    call_id: `call_${request}`,
  }
  if (step === STREAMED.length + 2)
    return {
      'event.name': 'codex.tool_decision',
      ...call,
      decision: 'approved',
      source: 'Config',
      ...common,
    }
  return {
    'event.name': 'codex.tool_result',
    tool_result_seq: request,
    ...call,
    duration_ms,
    success: 'true',
    output_truncated: false,
    agent_name: '/main',
    arguments: '{"cmd":"npm test -- --run test/otlp"}',
    output: `Chunk ID: fa20e9\nWall time: 0.0000 seconds\nProcess exited with code 0\nOutput:\n${'ok\n'.repeat(20)}`,
    mcp_server: '',
    mcp_server_origin: '',
    ...common,
  }
}

/** One export request of so many records, observed from the given instant on, a millisecond apart. */
export type Turn = { readonly records: number; readonly observed_from_ns: bigint }

const MILLISECOND_NS = 1_000_000n

export function protobufTurn({ records, observed_from_ns }: Turn): Buffer {
  const value = (one: Value): Tree => {
    if (typeof one === 'string') return { 1: one }
    return typeof one === 'boolean' ? { 2: one } : { 3: { varint: one } }
  }
  const resource = Object.entries(RESOURCE).map(([key, text]) => attribute(key, text))
  const items = Array.from({ length: records }, (_, index) => ({
    2: { varint: 9 },
    3: 'INFO',
    6: Object.entries(recordValues(index)).map(([key, one]) => ({ 1: key, 2: value(one) })),
    11: observed_from_ns + BigInt(index) * MILLISECOND_NS,
    12: 'event otel/src/events/session_telemetry.rs:1153',
  }))
  return encode({ 1: { 1: { 1: resource }, 2: { 1: { 1: SCOPE }, 2: items } } })
}

export function jsonTurn({ records, observed_from_ns }: Turn): Buffer {
  const value = (one: Value) => {
    if (typeof one === 'string') return { stringValue: one }
    return typeof one === 'boolean' ? { boolValue: one } : { intValue: String(one) }
  }
  const pairs = (values: Values) =>
    Object.entries(values).map(([key, one]) => ({ key, value: value(one) }))
  const logRecords = Array.from({ length: records }, (_, index) => ({
    timeUnixNano: '0',
    observedTimeUnixNano: String(observed_from_ns + BigInt(index) * MILLISECOND_NS),
    severityNumber: 9,
    severityText: 'INFO',
    body: null,
    attributes: pairs(recordValues(index)),
    droppedAttributesCount: 0,
    flags: 0,
    traceId: '',
    spanId: '',
    eventName: 'event otel/src/events/session_telemetry.rs:1153',
  }))
  const scopeLogs = [{ scope: { name: SCOPE }, logRecords }]
  return Buffer.from(
    JSON.stringify({ resourceLogs: [{ resource: { attributes: pairs(RESOURCE) }, scopeLogs }] }),
  )
}

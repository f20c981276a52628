import { attribute, encode, type Tree } from './wire.ts'

/** What Codex 0.169 sends: one record in ten says what a request used, the others are ignored. */
const RECORDS_PER_REQUEST = 10
const REQUESTS_PER_CONVERSATION = 8

/** How every conversation's id begins. */
export const CONVERSATION_PREFIX = '019a0000'

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

type Values = Readonly<Record<string, string | number>>

function commonValues(index: number): Values {
  const conversation = `${CONVERSATION_PREFIX}-0000-7000-8000-${String(index).padStart(12, '0')}`
  return {
    'event.timestamp': '2026-11-24T09:59:58.123Z',
    'conversation.id': conversation,
    'app.version': '0.169.0',
    originator: 'codex_exec',
    'terminal.type': 'xterm-256color',
    model: 'gpt-5.4',
    slug: 'gpt-5.4',
  }
}

function recordValues(index: number): Values {
  const request = Math.floor(index / RECORDS_PER_REQUEST)
  const common = commonValues(Math.floor(request / REQUESTS_PER_CONVERSATION))
  const step = index % RECORDS_PER_REQUEST
  const duration_ms = String(20 + (index % 700))
  if (step === 0)
    return {
      'event.name': 'codex.sse_event',
      'event.kind': 'response.completed',
      ...common,
      input_token_count: String(12_000 + (request % 900)),
      output_token_count: String(300 + (request % 90)),
      cached_token_count: 10_000,
      cache_write_token_count: 0,
      reasoning_token_count: 128,
      tool_token_count: '12645',
      ttft_ms: 210 + (request % 40),
      service_tier: 'default',
    }
  if (step === 1)
    return {
      'event.name': 'codex.api_request',
      ...common,
      duration_ms,
      'http.response.status_code': 200,
      attempt: 0,
      endpoint: '/responses',
      'auth.header_attached': 'true',
      'auth.mode': 'api_key',
    }
  return {
    'event.name': 'codex.sse_event',
    'event.kind': 'response.output_text.delta',
    ...common,
    duration_ms,
  }
}

/** One export request of so many records, observed from the given instant on, a millisecond apart. */
export type Turn = { readonly records: number; readonly observed_from_ns: bigint }

const MILLISECOND_NS = 1_000_000n

export function protobufTurn({ records, observed_from_ns }: Turn): Buffer {
  const value = (one: string | number): Tree =>
    typeof one === 'string' ? { 1: one } : { 3: { varint: one } }
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
  const pairs = (values: Values) =>
    Object.entries(values).map(([key, one]) => ({
      key,
      value: typeof one === 'string' ? { stringValue: one } : { intValue: String(one) },
    }))
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

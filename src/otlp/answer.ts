import protobuf from 'protobufjs/minimal.js'
import type { Encoding } from './decode.ts'
import type { Signal } from './decode-batch.ts'
import { RETRY_AFTER_S } from './limits.ts'
import type { Booked } from './signal.ts'

/** Statuses of refusals, and the gRPC code in the body: https://grpc.io/docs/guides/status-codes/ */
const CODES = {
  400: 3,
  401: 16,
  403: 7,
  404: 12,
  405: 12,
  413: 3,
  415: 3,
  429: 8,
  500: 13,
  503: 14,
} as const

export type RefusalStatus = keyof typeof CODES

/** A request that is not taken, and why, for its sender to read. */
export type Refusal = {
  readonly status: RefusalStatus
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The only answer, besides a failing store, after which a client sends the same again. */
export const FULL: Refusal = {
  status: 429,
  message: 'Too much telemetry at once. Send it again in a moment.',
  headers: { 'Retry-After': String(RETRY_AFTER_S) },
}

const CONTENT_TYPES: Readonly<Record<Encoding, string>> = {
  protobuf: 'application/x-protobuf',
  json: 'application/json',
}

/** By the media type alone; parameters say nothing. Undefined: OTLP does not know it. */
export function encodingOf(content_type: string | undefined): Encoding | undefined {
  const media_type = content_type?.split(';', 1)[0]?.trim().toLowerCase()
  if (media_type === CONTENT_TYPES.protobuf) return 'protobuf'
  if (media_type === CONTENT_TYPES.json) return 'json'
  return undefined
}

const REJECTED: Readonly<Record<Signal, string>> = {
  logs: 'rejectedLogRecords',
  metrics: 'rejectedDataPoints',
  traces: 'rejectedSpans',
}

/**
 * Export…ServiceResponse; a full success is an empty message.
 * https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
 */
export function formatSuccess(
  encoding: Encoding,
  signal: Signal,
  { rejected, message }: Booked,
): Response {
  const is_partial = rejected > 0 || message !== ''
  const headers = { 'Content-Type': CONTENT_TYPES[encoding] }
  if (encoding === 'json') {
    const partial = { [REJECTED[signal]]: String(rejected), errorMessage: message }
    return new Response(JSON.stringify(is_partial ? { partialSuccess: partial } : {}), { headers })
  }
  const writer = protobuf.Writer.create()
  if (is_partial) {
    writer.uint32(0x0a).fork()
    if (rejected > 0) writer.uint32(0x08).int64(rejected)
    if (message !== '') writer.uint32(0x12).string(message)
    writer.ldelim()
  }
  return new Response(bytesOf(writer), { headers })
}

/** google.rpc.Status; JSON for who asked in no encoding of ours. */
export function formatRefusal(encoding: Encoding | undefined, refusal: Refusal): Response {
  const { status, message, headers } = refusal
  const code = CODES[status]
  const answer = {
    status,
    headers: { ...headers, 'Content-Type': CONTENT_TYPES[encoding ?? 'json'] },
  }
  if (encoding !== 'protobuf') return new Response(JSON.stringify({ code, message }), answer)
  const writer = protobuf.Writer.create().uint32(0x08).int32(code).uint32(0x12).string(message)
  return new Response(bytesOf(writer), answer)
}

/** A copy of its own: the writer's bytes may stand in a shared pool. */
function bytesOf(writer: protobuf.Writer): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(writer.finish())
}

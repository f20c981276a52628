import { BadPayload, Collector, type Decoded, type Origin, type Signal } from './decode-batch.ts'
import { guardJson } from './json-guard.ts'
import { readMetric } from './json-metric.ts'
import {
  BAD_ITEM,
  hexIdOf,
  instantOf,
  isObject,
  type Json,
  listOf,
  readAttributes,
  readValue,
  textOf,
} from './json-value.ts'

type ReadItem = (item: Json, origin: Origin, into: Collector) => void
type Names = { readonly groups: string; readonly scopes: string; readonly items: string }

const NAMES: Readonly<Record<Signal, Names>> = {
  logs: { groups: 'resourceLogs', scopes: 'scopeLogs', items: 'logRecords' },
  traces: { groups: 'resourceSpans', scopes: 'scopeSpans', items: 'spans' },
  metrics: { groups: 'resourceMetrics', scopes: 'scopeMetrics', items: 'metrics' },
}

const READ: Readonly<Record<Signal, ReadItem>> = {
  logs: readLogRecord,
  traces: readSpan,
  metrics: readMetric,
}

/**
 * Keys are lowerCamelCase only, ids are hex, 64-bit integers come as texts or numbers, null is absent
 * and unknown fields are skipped: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 * @throws BadPayload or TooManyItems; nothing else, whatever the bytes are.
 */
export function decodeJson(signal: Signal, body: Buffer): Decoded {
  const into = new Collector()
  const root = body.length === 0 ? {} : parse(body)
  const { groups, scopes, items } = NAMES[signal]
  const read = READ[signal]
  for (const group of listOf(root, groups)) {
    if (!isObject(group))
      throw new BadPayload(`The field ${groups} holds something that is no object.`)
    const { resource } = group
    const attributes = readAttributes(isObject(resource) ? resource['attributes'] : undefined)
    for (const part of listOf(group, scopes)) {
      if (!isObject(part))
        throw new BadPayload(`The field ${scopes} holds something that is no object.`)
      const origin = { resource: attributes, scope: scopeOf(part) }
      for (const item of listOf(part, items)) readItem(read, item, origin, into)
    }
  }
  return into.decoded(signal)
}

function parse(body: Buffer): Json {
  guardJson(body)
  let root: unknown
  try {
    root = JSON.parse(body.toString('utf8'))
  } catch {
    // The parser's own message quotes the text.
    throw new BadPayload('The body is not valid JSON.')
  }
  if (!isObject(root)) throw new BadPayload('The body is not a JSON object.')
  return root
}

function scopeOf({ scope }: Json): Origin['scope'] {
  if (!isObject(scope)) return { name: '', version: '' }
  return { name: textOf(scope['name']), version: textOf(scope['version']) }
}

function readItem(read: ReadItem, item: unknown, origin: Origin, into: Collector): void {
  if (item === null) return
  try {
    if (!isObject(item)) throw BAD_ITEM
    read(item, origin, into)
  } catch (error) {
    if (error !== BAD_ITEM) throw error
    into.reject()
  }
}

function readLogRecord(item: Json, { resource, scope }: Origin, into: Collector): void {
  const body = readValue(item['body'], 0)
  into.addRecord({
    resource,
    scope,
    attributes: readAttributes(item['attributes']),
    event_name: textOf(item['eventName']),
    body: typeof body === 'string' ? body : null,
    time_ns: instantOf(item['timeUnixNano']),
    observed_ns: instantOf(item['observedTimeUnixNano']),
    trace_id: hexIdOf(item['traceId'], 32),
    span_id: hexIdOf(item['spanId'], 16),
  })
}

function readSpan(item: Json, { resource, scope }: Origin, into: Collector): void {
  into.addSpan({
    resource,
    scope,
    attributes: readAttributes(item['attributes']),
    name: textOf(item['name']),
    trace_id: hexIdOf(item['traceId'], 32),
    span_id: hexIdOf(item['spanId'], 16),
    parent_span_id: hexIdOf(item['parentSpanId'], 16),
    start_ns: instantOf(item['startTimeUnixNano']),
    end_ns: instantOf(item['endTimeUnixNano']),
  })
}

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type {
  Attributes,
  AttributeValue,
  Batch,
  LogRecord,
  MetricPoint,
  Scope,
  Span,
} from '../../src/otlp/signal.ts'

export const FIXTURES = join(import.meta.dirname, '../../../shared/fixtures/otlp')

/** False, and said so once, where the captured telemetry is not there. */
export const has_fixtures = existsSync(FIXTURES)
if (!has_fixtures) console.warn(`skipped: no captured telemetry at ${FIXTURES}`)

type Json = Readonly<Record<string, unknown>>

/** A capture in OTLP's JSON form as the mappers get it. Enough for our captures, no more. */
export function readCapture(name: string): Batch {
  const json = JSON.parse(readFileSync(join(FIXTURES, name), 'utf8')) as Json
  if (json['resourceLogs'])
    return { signal: 'logs', records: flatten(json, 'Logs', 'logRecords').map(logRecord) }
  if (json['resourceSpans'])
    return { signal: 'traces', spans: flatten(json, 'Spans', 'spans').map(span) }
  return { signal: 'metrics', points: flatten(json, 'Metrics', 'metrics').flatMap(points) }
}

type Origin = { readonly resource: Attributes; readonly scope: Scope; readonly json: Json }

function flatten(json: Json, kind: string, items: string): Origin[] {
  return list(json[`resource${kind}`]).flatMap((of_resource) => {
    const resource = attributes((of_resource['resource'] as Json)?.['attributes'])
    return list(of_resource[`scope${kind}`]).flatMap((of_scope) => {
      const { name = '', version = '' } = (of_scope['scope'] ?? {}) as Partial<Scope>
      const scope = { name, version }
      return list(of_scope[items]).map((item) => ({ resource, scope, json: item }))
    })
  })
}

function logRecord({ resource, scope, json }: Origin): LogRecord {
  const body = (json['body'] as Json | null)?.['stringValue']
  return {
    resource,
    scope,
    attributes: attributes(json['attributes']),
    event_name: String(json['eventName'] ?? ''),
    body: typeof body === 'string' ? body : null,
    time_ns: ns(json['timeUnixNano']),
    observed_ns: ns(json['observedTimeUnixNano']),
    trace_id: String(json['traceId'] ?? ''),
    span_id: String(json['spanId'] ?? ''),
  }
}

function span({ resource, scope, json }: Origin): Span {
  return {
    resource,
    scope,
    attributes: attributes(json['attributes']),
    name: String(json['name'] ?? ''),
    trace_id: String(json['traceId'] ?? ''),
    span_id: String(json['spanId'] ?? ''),
    parent_span_id: String(json['parentSpanId'] ?? ''),
    start_ns: ns(json['startTimeUnixNano']),
    end_ns: ns(json['endTimeUnixNano']),
  }
}

const KINDS = { sum: 'sum', histogram: 'histogram', gauge: 'gauge' } as const
const TEMPORALITIES = ['unspecified', 'delta', 'cumulative'] as const

function points({ resource, scope, json }: Origin): MetricPoint[] {
  const key = Object.keys(KINDS).find((name) => json[name]) as keyof typeof KINDS
  const data = json[key] as Json
  return list(data['dataPoints']).map((point) => {
    const value = point['asDouble'] ?? point['asInt'] ?? point['sum']
    return {
      resource,
      scope,
      attributes: attributes(point['attributes']),
      metric: String(json['name']),
      unit: String(json['unit'] ?? ''),
      kind: KINDS[key],
      temporality: TEMPORALITIES[Number(data['aggregationTemporality'] ?? 0)] ?? 'unspecified',
      is_monotonic: data['isMonotonic'] === true,
      start_ns: ns(point['startTimeUnixNano']),
      time_ns: ns(point['timeUnixNano']),
      has_no_value: (Number(point['flags'] ?? 0) & 1) === 1,
      value: value === undefined ? undefined : Number(value),
      count: point['count'] === undefined ? undefined : Number(point['count']),
    }
  })
}

function attributes(pairs: unknown): Attributes {
  const all = Object.create(null) as Record<string, AttributeValue>
  for (const pair of list(pairs)) {
    const value = anyValue(pair['value'])
    if (value !== undefined) all[String(pair['key'])] = value
  }
  return all
}

function anyValue(json: unknown): AttributeValue | undefined {
  const [entry] = Object.entries((json ?? {}) as Json)
  if (!entry) return undefined
  const [kind, value] = entry
  if (kind === 'intValue') return Number(value)
  if (kind === 'arrayValue')
    return list((value as Json)['values']).flatMap((one) => anyValue(one) ?? [])
  return value as AttributeValue
}

function list(value: unknown): Json[] {
  return Array.isArray(value) ? value : []
}

function ns(value: unknown): bigint {
  return BigInt((value as string | undefined) ?? 0)
}

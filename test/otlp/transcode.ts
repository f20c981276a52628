import type { Attributes, Batch, LogRecord, MetricPoint, Span } from '../../src/otlp/signal.ts'
import { exportRequest } from './descriptors.ts'

export type Json = { readonly [name: string]: unknown }

/** Ids are hexadecimal in OTLP's JSON, unlike in that of any other protobuf: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding */
const IDS = /^(traceId|spanId|parentSpanId)$/

/** An export request as JSON, by protobufjs and descriptors of our own. */
export function toJson(signal: string, body: Uint8Array): Json {
  const type = exportRequest(signal)
  const plain = type.toObject(type.decode(body), { longs: String })
  return JSON.parse(
    JSON.stringify(plain, (key, value) =>
      IDS.test(key) ? Buffer.from(value.data ?? value).toString('hex') : value,
    ),
  )
}

/** The export request that carries a batch; every item under a resource and scope of its own. */
export function toRequest(batch: Batch): Json {
  if (batch.signal === 'logs')
    return {
      resourceLogs: batch.records.map((record) => ({
        ...resourceOf(record),
        scopeLogs: [{ scope: record.scope, logRecords: [logRecord(record)] }],
      })),
    }
  if (batch.signal === 'traces')
    return {
      resourceSpans: batch.spans.map((span) => ({
        ...resourceOf(span),
        scopeSpans: [{ scope: span.scope, spans: [spanOf(span)] }],
      })),
    }
  return {
    resourceMetrics: batch.points.map((point) => ({
      ...resourceOf(point),
      scopeMetrics: [{ scope: point.scope, metrics: [metricOf(point)] }],
    })),
  }
}

function resourceOf({ resource }: { readonly resource: Attributes }) {
  return { resource: { attributes: pairs(resource) } }
}

function pairs(attributes: Attributes): Json[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value:
      typeof value === 'string'
        ? { stringValue: value }
        : Number.isInteger(value)
          ? { intValue: String(value) }
          : { doubleValue: value },
  }))
}

function logRecord({ attributes, body, event_name, ...record }: LogRecord): Json {
  return {
    timeUnixNano: String(record.time_ns),
    observedTimeUnixNano: String(record.observed_ns),
    attributes: pairs(attributes),
    eventName: event_name,
    traceId: record.trace_id,
    spanId: record.span_id,
    ...(body === null ? {} : { body: { stringValue: body } }),
  }
}

function spanOf({ attributes, name, ...span }: Span): Json {
  return {
    name,
    traceId: span.trace_id,
    spanId: span.span_id,
    parentSpanId: span.parent_span_id,
    startTimeUnixNano: String(span.start_ns),
    endTimeUnixNano: String(span.end_ns),
    attributes: pairs(attributes),
  }
}

const TEMPORALITIES = ['unspecified', 'delta', 'cumulative']

/** Of sums and histograms. */
function metricOf({ metric, unit, kind, temporality, is_monotonic, ...point }: MetricPoint): Json {
  const times = {
    startTimeUnixNano: String(point.start_ns),
    timeUnixNano: String(point.time_ns),
    attributes: pairs(point.attributes),
  }
  const value =
    kind === 'histogram'
      ? { sum: point.value, count: String(point.count ?? 0) }
      : { asDouble: point.value }
  const data = {
    aggregationTemporality: TEMPORALITIES.indexOf(temporality),
    dataPoints: [{ ...times, ...value }],
    ...(kind === 'sum' && { isMonotonic: is_monotonic }),
  }
  return { name: metric, unit, [kind]: data }
}

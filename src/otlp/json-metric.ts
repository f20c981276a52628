import type { Collector, Origin } from './decode-batch.ts'
import {
  BAD_ITEM,
  instantOf,
  isObject,
  type Json,
  numberOf,
  readAttributes,
  textOf,
} from './json-value.ts'
import type { MetricPoint } from './signal.ts'

type Kind = MetricPoint['kind']

const KINDS: readonly (readonly [field: string, kind: Kind])[] = [
  ['sum', 'sum'],
  ['gauge', 'gauge'],
  ['histogram', 'histogram'],
  ['exponentialHistogram', 'exponential_histogram'],
  ['summary', 'summary'],
]

/** Integers by the specification; some clients send the names. */
const TEMPORALITIES: Readonly<Record<string, MetricPoint['temporality']>> = {
  1: 'delta',
  2: 'cumulative',
  AGGREGATION_TEMPORALITY_DELTA: 'delta',
  AGGREGATION_TEMPORALITY_CUMULATIVE: 'cumulative',
}

const NO_RECORDED_VALUE = 1

type Metric = Pick<MetricPoint, 'metric' | 'unit' | 'kind' | 'temporality' | 'is_monotonic'> &
  Origin

export function readMetric(item: Json, origin: Origin, into: Collector): void {
  for (const [field, kind] of KINDS) {
    const data = item[field]
    if (!isObject(data)) continue
    const metric: Metric = {
      ...origin,
      metric: textOf(item['name']),
      unit: textOf(item['unit']),
      kind,
      temporality: temporalityOf(data['aggregationTemporality']),
      is_monotonic: kind === 'sum' && data['isMonotonic'] === true,
    }
    const points = data['dataPoints']
    if (points === undefined || points === null) continue
    if (!Array.isArray(points)) throw BAD_ITEM
    for (const point of points) addPoint(point, metric, into)
  }
}

function temporalityOf(value: unknown): MetricPoint['temporality'] {
  if (typeof value !== 'number' && typeof value !== 'string') return 'unspecified'
  return (Object.hasOwn(TEMPORALITIES, value) && TEMPORALITIES[value]) || 'unspecified'
}

function addPoint(point: unknown, metric: Metric, into: Collector): void {
  if (point === null) return
  try {
    if (!isObject(point)) throw BAD_ITEM
    into.addPoint(readPoint(point, metric))
  } catch (error) {
    if (error !== BAD_ITEM) throw error
    into.reject()
  }
}

function readPoint(point: Json, metric: Metric): MetricPoint {
  const is_number = metric.kind === 'sum' || metric.kind === 'gauge'
  const flags = numberOf(point['flags']) ?? 0
  return {
    resource: metric.resource,
    scope: metric.scope,
    attributes: readAttributes(point['attributes']),
    metric: metric.metric,
    unit: metric.unit,
    kind: metric.kind,
    temporality: metric.temporality,
    is_monotonic: metric.is_monotonic,
    start_ns: instantOf(point['startTimeUnixNano']),
    time_ns: instantOf(point['timeUnixNano']),
    has_no_value: (flags & NO_RECORDED_VALUE) !== 0,
    value: is_number
      ? (numberOf(point['asInt']) ?? numberOf(point['asDouble']))
      : (numberOf(point['sum']) ?? (metric.kind === 'summary' ? 0 : undefined)),
    count: is_number ? undefined : (numberOf(point['count']) ?? 0),
  }
}

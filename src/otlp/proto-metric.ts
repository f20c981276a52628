import { type Collector, createBag, type Origin } from './decode-batch.ts'
import type { ProtoReader } from './proto-reader.ts'
import type { MetricPoint } from './signal.ts'

type Kind = MetricPoint['kind']

const NAME = 0x0a
const UNIT = 0x1a
const TEMPORALITY = 0x10
const IS_MONOTONIC = 0x18
const POINTS = 0x0a

/** Tags of Metric's `data`, and of what differs in the points. */
const KINDS: Readonly<Record<number, Kind>> = {
  42: 'gauge',
  58: 'sum',
  74: 'histogram',
  82: 'exponential_histogram',
  90: 'summary',
}

const ATTRIBUTE: Readonly<Record<Kind, number>> = {
  gauge: 0x3a,
  sum: 0x3a,
  histogram: 0x4a,
  exponential_histogram: 0x0a,
  summary: 0x3a,
}

const FLAGS: Readonly<Record<Kind, number>> = {
  gauge: 0x40,
  sum: 0x40,
  histogram: 0x50,
  exponential_histogram: 0x50,
  summary: 0x40,
}

const POINT = {
  start: 0x11,
  time: 0x19,
  /** as_double of a number; count of everything else. */
  double_or_count: 0x21,
  sum: 0x29,
  integer: 0x31,
} as const

/** https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/metrics/v1/metrics.proto */
const NO_RECORDED_VALUE = 1
const TEMPORALITIES = ['unspecified', 'delta', 'cumulative'] as const

type Metric = {
  name: string
  unit: string
  kind: Kind
  temporality: MetricPoint['temporality']
  is_monotonic: boolean
}

/** The points come before what says how to take them, so each layer is gone through twice. */
export function readMetric(
  reader: ProtoReader,
  end: number,
  origin: Origin,
  into: Collector,
): void {
  const stop = reader.enter(end)
  const metric: Metric = {
    name: '',
    unit: '',
    kind: 'gauge',
    temporality: 'unspecified',
    is_monotonic: false,
  }
  let data_at = -1
  while (reader.pos < stop) {
    const tag = reader.tag()
    if (tag === NAME) metric.name = reader.text(stop)
    else if (tag === UNIT) metric.unit = reader.text(stop)
    else {
      const kind = KINDS[tag]
      if (kind !== undefined) {
        metric.kind = kind
        data_at = reader.pos
      }
      reader.skipField(tag)
    }
  }
  reader.leave(stop)
  if (data_at < 0) return
  reader.pos = data_at
  readData(reader, stop, metric, { origin, into })
  reader.pos = stop
}

type Target = { readonly origin: Origin; readonly into: Collector }

function readData(reader: ProtoReader, end: number, metric: Metric, target: Target): void {
  const stop = reader.enter(end)
  const data_at = reader.pos
  const is_stated = metric.kind !== 'gauge' && metric.kind !== 'summary'
  while (is_stated && reader.pos < stop) {
    const tag = reader.tag()
    if (tag === TEMPORALITY) metric.temporality = TEMPORALITIES[reader.uint32()] ?? 'unspecified'
    else if (tag === IS_MONOTONIC && metric.kind === 'sum') metric.is_monotonic = reader.bool()
    else reader.skipField(tag)
  }
  reader.pos = data_at
  while (reader.pos < stop) {
    const tag = reader.tag()
    if (tag === POINTS) readPoint(reader, stop, metric, target)
    else reader.skipField(tag)
  }
  reader.leave(stop)
}

function readPoint(
  reader: ProtoReader,
  end: number,
  metric: Metric,
  { origin, into }: Target,
): void {
  const stop = reader.enter(end)
  const { kind } = metric
  const is_number = kind === 'gauge' || kind === 'sum'
  const attribute = ATTRIBUTE[kind]
  const flags = FLAGS[kind]
  const attributes = createBag()
  let size = 0
  let start_ns = 0n
  let time_ns = 0n
  // A zero that has no presence is not sent: a summary's sum, and every count.
  let value = kind === 'summary' ? 0 : undefined
  let count = is_number ? undefined : 0
  let has_no_value = false
  while (reader.pos < stop) {
    const tag = reader.tag()
    if (tag === attribute) size = reader.attribute(attributes, stop, size)
    else if (tag === POINT.start) start_ns = reader.instant()
    else if (tag === POINT.time) time_ns = reader.instant()
    else if (tag === POINT.double_or_count && is_number) value = reader.double()
    else if (tag === POINT.double_or_count) count = Number(reader.instant())
    else if (tag === POINT.sum && !is_number) value = reader.double()
    else if (tag === POINT.integer && is_number) value = reader.signed64()
    else if (tag === flags) has_no_value = (reader.uint32() & NO_RECORDED_VALUE) !== 0
    else reader.skipField(tag)
  }
  reader.leave(stop)
  into.addPoint({
    resource: origin.resource,
    scope: origin.scope,
    attributes,
    metric: metric.name,
    unit: metric.unit,
    kind,
    temporality: metric.temporality,
    is_monotonic: metric.is_monotonic,
    start_ns,
    time_ns,
    has_no_value,
    value,
    count,
  })
}

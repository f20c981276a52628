import { SeverityNumber, SpanKind } from '@opentelemetry/api'
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto'
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto'
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto'
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import {
  AggregationTemporality,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Receiver, startReceiver } from './fixture.ts'

const resource = resourceFromAttributes({ 'service.name': 'app', 'process.pid': 7 })
const scope = { name: 'scope', version: '1.2' }
const origin = { resource: { 'service.name': 'app', 'process.pid': 7 }, scope }

const WAYS = [
  { name: 'protobuf', compression: CompressionAlgorithm.NONE },
  { name: 'protobuf', compression: CompressionAlgorithm.GZIP },
  { name: 'JSON', compression: CompressionAlgorithm.NONE },
  { name: 'JSON', compression: CompressionAlgorithm.GZIP },
]

describe.each(WAYS)('the JavaScript exporter delivers $name, compression $compression', (way) => {
  const is_json = way.name === 'JSON'
  const options = ({ url }: Receiver, signal: string) => ({
    url: `${url}/v1/${signal}`,
    compression: way.compression,
  })

  test('logs', async () => {
    const receiver = await startReceiver()
    const Exporter = is_json ? JsonLogs : ProtoLogs
    const exporter = new Exporter(options(receiver, 'logs'))
    const provider = new LoggerProvider({
      resource,
      processors: [new BatchLogRecordProcessor({ exporter })],
    })
    const attributes = { tokens: 12, cost: 0.25, big: 2 ** 40, is_cached: true, list: ['a', 'b'] }
    provider.getLogger(scope.name, scope.version).emit({
      eventName: 'named',
      timestamp: 1_787_824_000_123,
      severityNumber: SeverityNumber.INFO,
      body: 'text',
      attributes: { ...attributes, nothing: '', negative: -3, unicode: 'zażółć 😀' },
    })
    await provider.shutdown()
    expect(receiver.booked.map(({ batch }) => batch)).toMatchObject([
      {
        signal: 'logs',
        records: [
          {
            ...origin,
            event_name: 'named',
            body: 'text',
            time_ns: 1_787_824_000_123_000_000n,
            attributes: { ...attributes, nothing: '', negative: -3, unicode: 'zażółć 😀' },
          },
        ],
      },
    ])
  })

  test('metrics', async () => {
    const receiver = await startReceiver()
    const Exporter = is_json ? JsonMetrics : ProtoMetrics
    const exporter = new Exporter({
      ...options(receiver, 'metrics'),
      temporalityPreference: AggregationTemporality.DELTA,
    })
    const reader = new PeriodicExportingMetricReader({ exporter })
    const provider = new MeterProvider({ resource, readers: [reader] })
    const meter = provider.getMeter(scope.name, scope.version)
    meter.createCounter('tokens', { unit: 'tok' }).add(18_000, { type: 'input' })
    meter.createUpDownCounter('level').add(-2.5)
    meter.createGauge('degrees').record(21.5)
    const histogram = meter.createHistogram('usage')
    for (const value of [10, 32]) histogram.record(value)
    await provider.shutdown()
    const points = receiver.booked.flatMap(({ batch }) =>
      batch.signal === 'metrics' ? batch.points : [],
    )
    expect(points).toMatchObject([
      {
        ...origin,
        metric: 'tokens',
        unit: 'tok',
        kind: 'sum',
        temporality: 'delta',
        is_monotonic: true,
        value: 18_000,
        attributes: { type: 'input' },
      },
      { metric: 'level', kind: 'sum', is_monotonic: false, value: -2.5 },
      { metric: 'degrees', kind: 'gauge', temporality: 'unspecified', value: 21.5 },
      { metric: 'usage', kind: 'histogram', temporality: 'delta', value: 42, count: 2 },
    ])
    const now_ns = BigInt(Date.now()) * 1_000_000n
    for (const { start_ns, time_ns, has_no_value } of points) {
      expect(has_no_value).toBe(false)
      expect(time_ns >= start_ns).toBe(true)
      expect(now_ns - start_ns < 60_000_000_000n).toBe(true)
    }
  })

  test('traces', async () => {
    const receiver = await startReceiver()
    const Exporter = is_json ? JsonTraces : ProtoTraces
    const exporter = new Exporter(options(receiver, 'traces'))
    const processor = new BatchSpanProcessor({ exporter })
    const provider = new TracerProvider({ resource, spanProcessors: [processor] })
    const tracer = provider.getTracer(scope.name, scope.version)
    const span = tracer.startSpan('chat', {
      kind: SpanKind.CLIENT,
      startTime: 1_787_824_000_000,
      attributes: { 'gen_ai.usage.input_tokens': 5 },
    })
    span.addEvent('ignored', { text: 'x' })
    span.end(1_787_824_001_500)
    await provider.shutdown()
    const { traceId, spanId } = span.spanContext()
    expect(receiver.booked.map(({ batch }) => batch)).toMatchObject([
      {
        signal: 'traces',
        spans: [
          {
            ...origin,
            name: 'chat',
            trace_id: traceId,
            span_id: spanId,
            parent_span_id: '',
            start_ns: 1_787_824_000_000_000_000n,
            end_ns: 1_787_824_001_500_000_000n,
            attributes: { 'gen_ai.usage.input_tokens': 5 },
          },
        ],
      },
    ])
  })
})

/** Sends one record with the real exporter, and waits until it has given up or succeeded. */
async function exportOne(url: string): Promise<void> {
  const exporter = new ProtoLogs({ url: `${url}/v1/logs` })
  const provider = new LoggerProvider({
    resource,
    processors: [new BatchLogRecordProcessor({ exporter })],
  })
  onTestFinished(() => provider.shutdown())
  provider.getLogger('scope').emit({ body: 'once' })
  await provider.forceFlush()
}

test('after a 503 the exporter sends the same again, and it is booked once', async () => {
  let tries = 0
  let booked = 0
  const { url } = await startReceiver({
    async book({ signal }) {
      tries++
      if (tries === 1) throw Object.assign(new Error('locked'), { code: 'SQLITE_BUSY' })
      expect(signal).toBe('logs')
      booked++
      return { rejected: 0, message: '' }
    },
  })
  await exportOne(url)
  expect({ tries, booked }).toEqual({ tries: 2, booked: 1 })
})

test('a partial success is not sent again', async () => {
  let tries = 0
  const { url } = await startReceiver({
    async book() {
      tries++
      return { rejected: 1, message: 'never' }
    },
  })
  await exportOne(url)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(tries).toBe(1)
})

import { join } from 'node:path'
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto'
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto'
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { expect, onTestFinished, test, vi } from 'vitest'
import { HOUR_MS } from '../../src/clock.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import { resolvePeriod } from '../../src/period.ts'
import { openStore } from '../../src/store/open.ts'
import {
  freePort,
  makeHome,
  programEnv,
  runProgram,
  startServe,
  stopProgram,
} from '../helpers/program.ts'

const claude = resourceFromAttributes({ 'service.name': 'claude-code' })
const MODEL = 'claude-sonnet-4-5'

/** One session told of by its events. */
async function sendLogs(exporter: ProtoLogs | JsonLogs): Promise<void> {
  const processors = [new BatchLogRecordProcessor({ exporter })]
  const provider = new LoggerProvider({ resource: claude, processors })
  const attributes = {
    'event.name': 'api_request',
    'session.id': 'told',
    model: MODEL,
    input_tokens: 1_000,
    output_tokens: 100,
    cache_read_tokens: 5_000,
    cost_usd: 0.0125,
    request_id: `req_${exporter.constructor === ProtoLogs ? 1 : 2}`,
  }
  provider.getLogger('events').emit({ body: 'claude_code.api_request', attributes })
  await provider.shutdown()
}

/** One that only its metrics tell of, in the exporter's own temporality: cumulative. */
async function sendMetrics(exporter: ProtoMetrics | JsonMetrics): Promise<void> {
  const reader = new PeriodicExportingMetricReader({ exporter })
  const provider = new MeterProvider({ resource: claude, readers: [reader] })
  const counter = provider.getMeter('m').createCounter('claude_code.token.usage')
  const session = `counted-${exporter.constructor === ProtoMetrics ? 1 : 2}`
  for (const tokens of [30, 40]) {
    counter.add(tokens, { type: 'input', model: MODEL, 'session.id': session })
    await provider.forceFlush()
  }
  await provider.shutdown()
}

/** A program that follows the conventions. */
async function sendSpan(exporter: ProtoTraces | JsonTraces): Promise<void> {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'shop' }),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  })
  const attributes = {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gpt-4o',
    'gen_ai.usage.input_tokens': 200,
    'gen_ai.usage.output_tokens': 20,
  }
  provider.getTracer('t').startSpan('chat gpt-4o', { attributes }).end()
  await provider.shutdown()
}

test('the real exporters, set as outlay env otel says, fill the ledger of a running Outlay', async () => {
  const { home, remove } = makeHome()
  const env = programEnv(home, { OUTLAY_PORT: String(await freePort()) })
  const { child } = await startServe(env)
  onTestFinished(async () => {
    await stopProgram(child)
    vi.unstubAllEnvs()
    remove()
  })
  const { stdout } = await runProgram(['env', 'otel'], env)
  for (const [, name = '', value = ''] of stdout.matchAll(/^export (\w+)=(.*)$/gm))
    vi.stubEnv(name, value)
  await sendLogs(new ProtoLogs())
  await sendLogs(new JsonLogs())
  await sendMetrics(new ProtoMetrics())
  await sendMetrics(new JsonMetrics())
  await sendSpan(new ProtoTraces())
  await sendSpan(new JsonTraces())

  const now = Date.now() + HOUR_MS
  const path = join(home, 'outlay', 'outlay.db')
  const { db, close } = await openStore({ path, driver: 'better-sqlite3', now })
  const { rows } = await answerSpend(db, {
    period: resolvePeriod({ period: 'last_24h' }, now, 'UTC'),
    group_by: ['session'],
    filter: {},
    basis: 'best',
    compare: false,
    limit: 20,
    now,
  })
  await close()
  const by_session = Object.fromEntries(rows.map((row) => [row['session'], row]))
  expect(by_session).toMatchObject({
    told: {
      cost_usd: '0.025000000',
      requests: 2,
      input_tokens: 12_000,
      cached_input_tokens: 10_000,
      output_tokens: 200,
    },
    'counted-1': { input_tokens: 70, output_tokens: 0 },
    'counted-2': { input_tokens: 70, output_tokens: 0 },
  })
  const shop = rows.find(({ input_tokens }) => input_tokens === 400)
  expect(shop).toMatchObject({ requests: 2, output_tokens: 40, unpriced_requests: 0 })
  expect(rows).toHaveLength(4)
})

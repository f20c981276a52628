import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decode } from '../../src/otlp/decode.ts'
import type { Signal } from '../../src/otlp/decode-batch.ts'
import type { Batch, LogRecord, MetricPoint } from '../../src/otlp/signal.ts'

const FOLDER = join(import.meta.dirname, '../../../shared/fixtures/otlp')

const has_fixtures = existsSync(FOLDER)
if (!has_fixtures) console.warn(`skipped: no captured telemetry at ${FOLDER}`)

function read(signal: Signal, file: string): Batch {
  const encoding = file.endsWith('.json') ? 'json' : 'protobuf'
  const { batch, rejected } = decode(signal, encoding, readFileSync(join(FOLDER, file)))
  expect(rejected).toBe(0)
  return batch
}

function recordsOf(file: string): readonly LogRecord[] {
  const batch = read('logs', file)
  return batch.signal === 'logs' ? batch.records : []
}

function pointsOf(file: string): readonly MetricPoint[] {
  const batch = read('metrics', file)
  return batch.signal === 'metrics' ? batch.points : []
}

function named(records: readonly LogRecord[], name: string): readonly LogRecord[] {
  return records.filter(({ attributes }) => attributes['event.name'] === name)
}

describe.skipIf(!has_fixtures)('what real clients sent is decoded', () => {
  test('Codex logs in protobuf: 21 records, 2 with usage', () => {
    const records = recordsOf('codex-logs.raw.pb')
    expect(records).toHaveLength(21)
    const usage = named(records, 'codex.sse_event').filter(
      ({ attributes }) => attributes['input_token_count'] !== undefined,
    )
    expect(usage).toHaveLength(2)
    for (const record of usage)
      expect(record).toMatchObject({
        resource: { 'service.name': 'codex_exec', 'team.id': 'platform' },
        scope: { name: 'codex_otel.log_only' },
        body: null,
        time_ns: 0n,
        trace_id: '',
        attributes: {
          'event.kind': 'response.completed',
          input_token_count: '12345',
          output_token_count: '678',
          cached_token_count: 10_000,
          reasoning_token_count: 512,
        },
      })
    expect(usage.every(({ observed_ns }) => observed_ns > 10n ** 18n)).toBe(true)
  })

  test('the same logs decoded by somebody else, as JSON, give the same records', () => {
    const [theirs, ours] = ['codex-logs-toolturn.decoded.json', 'codex-logs.raw.pb'].map((file) =>
      recordsOf(file).map((record) => ({
        ...record,
        // Scrubbed in one of the two.
        resource: { ...record.resource, 'host.name': '' },
      })),
    )
    expect(theirs).toEqual(ours)
  })

  test('Codex logs in JSON: null bodies and empty ids are absent', () => {
    const records = recordsOf('codex-logs.json')
    expect(records.length).toBeGreaterThan(0)
    for (const { body, trace_id } of records) {
      expect(body === null || body.length > 0).toBe(true)
      expect(trace_id).toMatch(/^([0-9a-f]{32})?$/)
    }
    const usage = named(records, 'codex.sse_event').filter(
      ({ attributes }) => attributes['input_token_count'] !== undefined,
    )
    expect(usage).toHaveLength(1)
    expect(usage[0]).toMatchObject({
      body: null,
      trace_id: '',
      attributes: { input_token_count: expect.stringMatching(/^\d+$/) },
    })
  })

  test('Gemini logs: numbers of any spelling, empty values absent', () => {
    const [response, ...more] = named(recordsOf('gemini-logs.json'), 'gemini_cli.api_response')
    expect(more).toEqual([])
    expect(response?.attributes).toMatchObject({
      input_token_count: 2_000,
      cached_content_token_count: 1_500,
      output_token_count: 50,
      thoughts_token_count: 100,
    })
    expect(Object.values(response?.attributes ?? {})).not.toContain(undefined)
  })

  test.each([
    'claude-code-logs',
    'claude-code-metrics-delta-1',
    'claude-code-metrics-cumulative-2',
  ])('%s is the same in both encodings', (name) => {
    const signal = name.includes('logs') ? 'logs' : 'metrics'
    const json = read(signal, `${name}.synthetic.json`)
    expect(json).toEqual(read(signal, `${name}.synthetic.pb`))
  })

  test('Claude Code logs: 6 records; metrics: monotonic sums in both temporalities', () => {
    expect(recordsOf('claude-code-logs.synthetic.pb')).toHaveLength(6)
    for (const temporality of ['delta', 'cumulative'] as const) {
      const points = pointsOf(`claude-code-metrics-${temporality}-1.synthetic.pb`)
      expect(points.length).toBeGreaterThan(4)
      for (const point of points)
        expect(point).toMatchObject({ kind: 'sum', temporality, is_monotonic: true })
    }
  })

  test('Codex metrics: histograms of a turn by their sum', () => {
    const tokens = pointsOf('codex-metrics.json').filter(
      ({ metric }) => metric === 'codex.turn.token_usage',
    )
    const by_type = Object.fromEntries(
      tokens.map(({ attributes, value }) => [String(attributes['token_type']), value]),
    )
    expect(
      tokens.every(({ kind, temporality }) => kind === 'histogram' && temporality === 'delta'),
    ).toBe(true)
    expect(by_type).toMatchObject({ input: expect.any(Number), output: expect.any(Number) })
  })

  test.each(['codex-spans.json', 'gemini-spans.json'])(
    '%s: every span has ids and times',
    (file) => {
      const batch = read('traces', file)
      const spans = batch.signal === 'traces' ? batch.spans : []
      expect(spans.length).toBeGreaterThan(0)
      for (const span of spans) {
        expect(span.trace_id).toMatch(/^[0-9a-f]{32}$/)
        expect(span.span_id).toMatch(/^[0-9a-f]{16}$/)
        expect(span.end_ns >= span.start_ns && span.start_ns > 0n).toBe(true)
      }
    },
  )
})

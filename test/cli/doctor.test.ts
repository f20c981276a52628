import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { createBook } from '../../src/otlp/book.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import { openStore } from '../../src/store/open.ts'
import { makeHome, programEnv, runProgram } from '../helpers/program.ts'
import { catalog, logRecord, logs, metrics, ns, point, span, traces } from '../otlp/telemetry.ts'

const at = Date.now() - 60_000
const EVENT = { 'event.name': 'api_request', 'session.id': 's1', model: 'claude-sonnet-4-5' }
const USAGE = { input_tokens: 5, output_tokens: 1 }
const event = logRecord('claude-code', { ...EVENT, ...USAGE }, { time_ns: ns(at) })

function tokens(
  attributes: Record<string, string>,
  temporality: 'delta' | 'unspecified' = 'delta',
) {
  const names = { model: 'claude-sonnet-4-5', type: 'input', ...attributes }
  const times = { start_ns: ns(at - 60_000), time_ns: ns(at) }
  return point('claude-code', 'claude_code.token.usage', names, { ...times, temporality })
}

/** What `outlay doctor` says where the batches have arrived, each a millisecond after the other. */
async function diagnose(...batches: Batch[]) {
  const { home, remove } = makeHome()
  onTestFinished(remove)
  const path = join(home, 'outlay', 'outlay.db')
  const { db, close } = await openStore({ path, driver: 'better-sqlite3', now: Date.now() })
  const book = createBook({ db, clock: systemClock(), catalog: async () => catalog })
  for (const batch of batches) {
    await book(batch, { received_at: Date.now(), token: null })
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await close()
  const { code, stdout } = await runProgram(['doctor'], programEnv(home))
  const json = await runProgram(['doctor', '--json'], programEnv(home))
  expect(JSON.parse(json.stdout)).toMatchObject({ problems: expect.any(Array) })
  expect(json.code).toBe(code)
  return { code, stdout }
}

test('says of each client what arrived last, on which signal, and that nothing is missing', async () => {
  const { code, stdout } = await diagnose(
    logs(event, event, logRecord('claude-code', { 'event.name': 'user_prompt' })),
    metrics(tokens({ 'session.id': 's1' })),
    traces(span('shop', 'chat', {})),
  )
  const [claude] = stdout.split('\n\n').filter((part) => part.includes('telemetry of claude-code'))
  expect(claude).toMatch(/logs +last 20\S+Z, 1 accepted, 1 again, 1 of no matter, 0 rejected/)
  expect(claude).toMatch(/metrics +last 20\S+Z, 1 accepted/)
  expect(stdout).toContain('Nothing to fix.')
  expect(stdout).not.toContain('missing')
  expect(code).toBe(0)
})

test.each<[string, Batch[], RegExp, number]>([
  [
    'events but no metrics',
    [logs(event)],
    /missing metrics: lines of code.*OTEL_METRICS_EXPORTER=otlp/,
    0,
  ],
  [
    'metrics but no events',
    [metrics(tokens({ 'session.id': 's1' }))],
    /- claude-code sends metrics, but no log events: only sums are known.*OTEL_LOGS_EXPORTER=otlp/,
    1,
  ],
  [
    'spans but no events',
    [
      traces(
        span('codex_exec', 'session_task.turn', {
          model: 'gpt-5',
          'turn.id': 't',
          'codex.turn.token_usage.input_tokens': 5,
        }),
      ),
    ],
    /- codex sends traces, but no log events.*exporter under \[otel\]/,
    1,
  ],
  [
    'metrics without a session',
    [logs(event), metrics(tokens({}))],
    /missing the session in its metrics.*OTEL_METRICS_INCLUDE_SESSION_ID/,
    0,
  ],
  [
    'no temporality',
    [
      logs(event),
      metrics(tokens({ 'session.id': 's1' }), tokens({ 'session.id': 's1' }, 'unspecified')),
    ],
    /- 1 data point from claude-code did not say.*TEMPORALITY_PREFERENCE=delta/,
    1,
  ],
])('says what is missing: %s', async (_, batches, expected, exit_code) => {
  const { code, stdout } = await diagnose(...batches)
  expect(stdout).toMatch(expected)
  expect(code).toBe(exit_code)
})

test('points without a temporality are forgotten when the same client sends some that have one', async () => {
  const good = metrics(tokens({ 'session.id': 's1' }))
  const { code, stdout } = await diagnose(
    logs(event),
    metrics(tokens({ 'session.id': 's1' }, 'unspecified')),
    good,
  )
  expect(stdout).not.toContain('data point')
  expect(code).toBe(0)
})

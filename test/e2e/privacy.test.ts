import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Signal } from '../../src/otlp/decode-batch.ts'
import { makeHome, programEnv, startServe, stopProgram } from '../helpers/program.ts'
import { toProtobuf } from '../otlp/descriptors.ts'
import { JSON_TYPE, PROTOBUF, send } from '../otlp/fixture.ts'
import { logRecord, logs, metrics, ns, point, span, traces } from '../otlp/telemetry.ts'
import { type Json, toRequest } from '../otlp/transcode.ts'

const PLANTED = 'PLANTED: read /home/ada/taxes.pdf with sk-ant-api03-planted'
const USAGE = { model: 'claude-sonnet-4-5', input_tokens: 5, output_tokens: 1 }
const now = { time_ns: ns(Date.now()) }

/** All places where a client is known to put what people wrote, and some where one could. */
const CONTENT: readonly (readonly [Signal, Json])[] = [
  logs(
    logRecord('claude-code', { 'event.name': 'user_prompt', prompt: PLANTED }, now),
    logRecord('claude-code', { 'event.name': 'api_request', ...USAGE, prompt: PLANTED }, now),
    logRecord('claude-code', { 'event.name': `api_request ${PLANTED}`, error: PLANTED }, now),
    logRecord('claude-code', { 'event.name': 'api_request', model: 7, input_tokens: PLANTED }, now),
    logRecord('codex_exec', { 'event.name': 'codex.tool_result', arguments: PLANTED }, now),
    logRecord('shop', { 'gen_ai.operation.name': PLANTED }, { ...now, body: PLANTED }),
  ),
  traces(
    span('shop', `chat ${PLANTED}`, {
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.usage.input_tokens': 5,
      'gen_ai.input.messages': PLANTED,
      'gen_ai.system_instructions': PLANTED,
    }),
    span('shop', PLANTED, { 'openinference.span.kind': 'LLM', 'llm.token_count.prompt': PLANTED }),
  ),
  metrics(
    point('claude-code', 'claude_code.token.usage', { type: 'input', prompt: PLANTED }),
    point('claude-code', 'claude_code.token.usage', { type: PLANTED, model: 'm' }),
    point('claude-code', PLANTED, {}, { temporality: 'unspecified' }),
  ),
].map((batch) => [batch.signal, withCommandLine(toRequest(batch))] as const)

/** Gemini CLI says in its resource how it was started. */
function withCommandLine(request: Json): Json {
  const command = { key: 'process.command_args', value: { stringValue: `gemini -p "${PLANTED}"` } }
  return JSON.parse(JSON.stringify(request), (key, value) =>
    key === 'resource' ? { attributes: [...value.attributes, command] } : value,
  )
}

test('nothing that people wrote is kept: not in the store, its log or what the program says', async () => {
  const { home, remove } = makeHome()
  const { url, child } = await startServe(programEnv(home))
  let said = ''
  child.stderr?.on('data', (chunk) => {
    said += chunk
  })
  onTestFinished(async () => {
    await stopProgram(child)
    remove()
  })
  const root = url.replace(/\/$/, '')
  const agent = { 'user-agent': `OTel ${PLANTED}`, 'x-note': PLANTED }
  for (const [signal, json] of CONTENT) {
    const body = Buffer.from(JSON.stringify(json))
    const path = `${root}/v1/${signal}`
    expect((await send(path, { headers: { ...JSON_TYPE, ...agent }, body })).status).toBe(200)
    const encoded = toProtobuf(signal, json)
    const answer = await send(path, { headers: { ...PROTOBUF, ...agent }, body: encoded })
    expect(answer.status).toBe(200)
    // Refused ones, at a path of their own and cut in the middle.
    await send(`${root}/?q=${encodeURIComponent(PLANTED)}`, { headers: JSON_TYPE, body })
    await send(path, { headers: { ...PROTOBUF, ...agent }, body: encoded.subarray(0, -3) })
  }
  const folder = join(home, 'outlay')
  const files = readdirSync(folder).filter((name) => statSync(join(folder, name)).isFile())
  expect(files).toContain('outlay.db-wal')
  const kept = files.map((name) => readFileSync(join(folder, name), 'latin1')).join('')
  expect(kept).toContain('claude-sonnet-4-5')
  for (const text of [kept, said]) expect(text).not.toMatch(/PLANTED|taxes\.pdf|api03-planted/)
})

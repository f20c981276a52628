import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'

const REAL_KEY = 'sk-real-upstream-key-that-no-client-may-see'

/** A provider that answers every chat with the same usage, and remembers with which key it was asked. */
async function startUpstream() {
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    if (request.method === 'POST') asked.push(request.headers.authorization)
    request.resume().once('end', () => {
      response.writeHead(200, { 'content-type': 'application/json', 'x-request-id': 'req_far' })
      response.end(
        JSON.stringify({
          id: 'chatcmpl-1',
          object: 'chat.completion',
          created: 1_780_000_004,
          model: 'gpt-5.4',
          service_tier: 'default',
          choices: [{ index: 0, message: { role: 'assistant', content: 'hi' } }],
          usage: {
            prompt_tokens: 20,
            completion_tokens: 300,
            total_tokens: 320,
            prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
            completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
          },
        }),
      )
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
}

test('a wrapped key with a budget: exact ledger, a hard stop, and the real key stays here', async () => {
  const upstream = await startUpstream()
  const { home, remove } = makeHome()
  const env = programEnv(home, { OUTLAY_OPENAI_BASE_URL: upstream.url })
  const connected = await runProgram(['connect', 'openai', '--kind', 'inference'], env, REAL_KEY)
  expect(connected.stderr + connected.stdout).not.toContain(REAL_KEY)
  // Each request costs 20 × $2.5 + 300 × $15 a million tokens = $0.00455; a hold is larger than that.
  const made = await runProgram(['keys', 'create', 'ci', '--json', '--budget', '0.05'], env)
  const { key } = JSON.parse(made.stdout) as { key: string }
  const { url, child } = await startServe(env)
  onTestFinished(async () => {
    await stopProgram(child)
    remove()
  })
  const chat = () =>
    fetch(new URL('/proxy/openai/v1/chat/completions', url), {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gpt-5.4',
        max_completion_tokens: 300,
        messages: [{ role: 'user', content: 'hello' }],
      }),
    })
  let answered = 0
  let answer = await chat()
  for (; answer.status === 200 && answered < 20; answer = await chat()) {
    expect(await answer.json()).toMatchObject({ usage: { completion_tokens: 300 } })
    answered += 1
  }
  expect(answered).toBeGreaterThan(1)
  expect(answered * 0.00455).toBeLessThanOrEqual(0.05)
  expect(answer.status).toBe(429)
  expect(await answer.json()).toMatchObject({ error: { code: 'insufficient_quota' } })
  expect(upstream.asked.filter((one) => one === `Bearer ${REAL_KEY}`)).toHaveLength(answered)
  expect(upstream.asked.some((one) => one?.includes(key))).toBe(false)
  const budgets = await runProgram(['budgets', 'list', '--json'], env)
  expect(budgets.stdout).toContain(`"${(answered * 0.00455).toFixed(9)}"`)
})

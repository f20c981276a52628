import { expect, test } from 'vitest'
import { sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

const AUDIO_BYTES = 160_000

/** What is held and booked for an answer of a server that speaks OpenAI's language, more or less. */
async function book(name: string, path: string, asked: object | FormData, answered: object) {
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, answered))
  const proxy = await startWith(far_end, {
    base_urls: { [name]: `${far_end.url}/v1` },
    secrets: { [name]: 'real-0123456789' },
    keys: { [WRAPPED]: wrappedKey({ providers: [name] }) },
    limit_nanos: 10n ** 13n,
  })
  const is_form = asked instanceof FormData
  const mount = name === 'openai' ? '/openai/v1' : `/compat/${name}`
  await fetch(`${proxy.url}/proxy${mount}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${WRAPPED}`,
      ...(is_form ? {} : { 'content-type': 'application/json' }),
    },
    body: is_form ? asked : JSON.stringify(asked),
  })
  const [settled] = proxy.gate.settled
  return { usage: settled?.event.usage, cost: settled?.cost_nanos }
}

function recording(model: string): FormData {
  const form = new FormData()
  form.set('model', model)
  form.set('file', new Blob([Buffer.alloc(AUDIO_BYTES)]), 'a.mp3')
  return form
}

test.each([
  // $0.27 and $0.18 an hour.
  ['openai', 'gpt-transcribe', { type: 'duration', seconds: 200 }, 15_000_000n],
  [
    'mistral',
    'voxtral-mini-2602',
    { prompt_audio_seconds: 200, prompt_tokens: 4, completion_tokens: 635, total_tokens: 3_264 },
    10_000_000n,
  ],
])('%s %s is held and billed by the second', async (name, model, usage, wanted) => {
  const path = '/audio/transcriptions'
  const { cost } = await book(name, path, recording(model), { text: 'x', model, usage })
  expect(cost).toBe(wanted)
})

const CHOICES = [{ index: 0, finish_reason: 'stop', message: { content: 'hi' } }]

test('xAI counts reasoning beside the completion', async () => {
  const model = 'grok-4'
  const { usage } = await book(
    'x-ai',
    '/chat/completions',
    { model, max_tokens: 1_000, messages: [] },
    {
      model,
      choices: CHOICES,
      usage: {
        prompt_tokens: 32,
        completion_tokens: 9,
        total_tokens: 135,
        completion_tokens_details: { reasoning_tokens: 94 },
      },
    },
  )
  expect(usage).toMatchObject({ output_tokens: 103, reasoning_tokens: 94 })
})

test('Moonshot tells what was cached beside the total', async () => {
  const model = 'kimi-k2-0905-preview'
  const { usage } = await book(
    'moonshotai',
    '/chat/completions',
    { model, max_tokens: 1_000, messages: [] },
    {
      model,
      choices: CHOICES,
      usage: { prompt_tokens: 100, completion_tokens: 9, total_tokens: 109, cached_tokens: 60 },
    },
  )
  expect(usage).toMatchObject({ uncached_input_tokens: 40, cache_read_tokens: 60 })
})

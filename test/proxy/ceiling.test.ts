import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

/** What the gate is asked to hold for a request; null: nothing bounds it. */
async function boundOf(
  path: string,
  body: object | Buffer,
  headers: Record<string, string> = {},
): Promise<number | null> {
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
  const { url } = far_end
  const names = ['openrouter', 'mistral', 'groq']
  const proxy = await startWith(far_end, {
    base_urls: {
      openai: `${url}/v1`,
      anthropic: url,
      google: url,
      ...Object.fromEntries(names.map((name) => [name, `${url}/v1`])),
    },
    secrets: Object.fromEntries(
      ['openai', 'anthropic', 'google', ...names].map((name) => [name, `real-${name}-0123456789`]),
    ),
    keys: {
      [WRAPPED]: wrappedKey({ providers: ['openai', 'anthropic', 'google', ...names] }),
    },
  })
  await fetch(`${proxy.url}/proxy${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${WRAPPED}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: body instanceof Buffer ? new Uint8Array(body) : JSON.stringify(body),
  })
  const bound = proxy.gate.admitted.at(-1)?.bound_nanos
  if (bound === undefined) throw new Error('the request was not admitted')
  return bound === null ? null : Number(bound)
}

describe('input', () => {
  test('is bounded by the bytes of its text, compressed or not', async () => {
    // Four bytes each, which can be as many tokens, and two characters of JavaScript.
    const messages = [{ role: 'user', content: '\u{20000}'.repeat(10_000) }]
    const body = { model: 'gpt-4o', max_tokens: 1, messages }
    const path = '/openai/v1/chat/completions'
    const plain = await boundOf(path, body)
    const zipped = await boundOf(path, gzipSync(JSON.stringify(body)), {
      'content-encoding': 'gzip',
    })
    expect(plain).not.toBeNull()
    expect(zipped).toBe(plain)
  })
})

import { expect, test } from 'vitest'
import { fixedClock, MINUTE_MS } from '../../src/clock.ts'
import { CHAT_ANSWER, sendJson, startFarEnd, startWith } from './far-end.ts'
import { WRAPPED, wrappedKey } from './fixture.ts'

const NOW = Date.UTC(2026, 10, 24, 10, 0, 10)
const NONE = { requests_per_minute: null, tokens_per_minute: null, concurrent_requests: null }

/** A far end that answers when it is let, and a proxy whose clock the test moves. */
async function setUp(
  limits: Partial<typeof NONE | Record<keyof typeof NONE, number>>,
  max_tokens: number | null = 50,
) {
  const waiting: (() => void)[] = []
  let is_holding = false
  const far_end = await startFarEnd((outgoing) => {
    const answer = () => sendJson(outgoing, CHAT_ANSWER)
    if (is_holding) waiting.push(answer)
    else answer()
  })
  const clock = fixedClock(NOW)
  const key = wrappedKey({ limits: { ...NONE, ...limits }, on_abort: 'stop' })
  const proxy = await startWith(far_end, { keys: { [WRAPPED]: key }, deps: { clock } })
  const send = (signal?: AbortSignal) =>
    fetch(`${proxy.url}/proxy/openai/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${WRAPPED}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-5.4', max_tokens, messages: [] }),
      ...(signal ? { signal } : {}),
    })
  return {
    clock,
    proxy,
    hold: () => {
      is_holding = true
    },
    waiting,
    send,
    status: async () => (await send()).status,
    waitFor: async (count: number) => {
      await expect.poll(() => waiting.length, { timeout: 3_000 }).toBe(count)
    },
  }
}

test('so many at a time: one more is told to wait, and a place is free when one is over or has left', async () => {
  const { hold, waiting, send, status, waitFor, proxy } = await setUp({ concurrent_requests: 2 })
  hold()
  const leaving = new AbortController()
  const first = send()
  const second = send(leaving.signal).catch(() => undefined)
  await waitFor(2)
  const third = await send()
  expect(third.status).toBe(429)
  expect(third.headers.get('retry-after')).toBe('1')
  expect(await third.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } })

  leaving.abort()
  await second
  await proxy.waitFor(1)
  // Its place is free a moment after it is booked.
  await new Promise((resolve) => setTimeout(resolve, 50))
  const fourth = send()
  await waitFor(3)
  expect(await status()).toBe(429)
  for (const answer of waiting) answer()
  expect((await first).status).toBe(200)
  expect((await fourth).status).toBe(200)
  expect(proxy.gate.admitted).toHaveLength(3)
})

test('so many requests a minute, and again in the next', async () => {
  const { clock, send, status } = await setUp({ requests_per_minute: 2 })
  expect([await status(), await status()]).toEqual([200, 200])
  const over = await send()
  expect(over.status).toBe(429)
  expect(over.headers.get('retry-after')).toBe('50')
  clock.set(NOW + MINUTE_MS)
  expect([await status(), await status(), await status()]).toEqual([200, 200, 429])
})

test('so many tokens a minute, by what answers say that they used', async () => {
  const { clock, status, proxy } = await setUp({ tokens_per_minute: 100 })
  // About 65 are expected of each, and each uses 14.
  const statuses = [await status(), await status(), await status(), await status()]
  expect(statuses).toEqual([200, 200, 200, 429])
  // What is refused for its speed is neither held nor forwarded.
  expect(proxy.gate.admitted).toHaveLength(3)
  clock.set(NOW + MINUTE_MS)
  expect(await status()).toBe(200)
})

test('of requests that run, what they may use counts until they tell, in whatever minute', async () => {
  const { clock, hold, waiting, send, status, waitFor } = await setUp({ tokens_per_minute: 140 })
  hold()
  const running = [send(), send()]
  await waitFor(2)
  expect(await status()).toBe(429)
  clock.set(NOW + MINUTE_MS)
  expect(await status()).toBe(429)
  for (const answer of waiting) answer()
  expect((await Promise.all(running)).map(({ status: code }) => code)).toEqual([200, 200])
  const next = send()
  await waitFor(3)
  waiting[2]?.()
  expect((await next).status).toBe(200)
})

test('a request without a limit of its output does not use up the minute', async () => {
  const { status } = await setUp({ tokens_per_minute: 10_000 }, null)
  expect([await status(), await status(), await status()]).toEqual([200, 200, 200])
})

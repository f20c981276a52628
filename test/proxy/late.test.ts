import { getRequestListener } from '@hono/node-server'
import { expect, test } from 'vitest'

test('the proxy answers also when it is loaded after the listener was made, as in the program', async () => {
  getRequestListener(() => new Response('earlier'))
  const { CHAT_ANSWER, sendJson, startFarEnd, startWith } = await import('./far-end.ts')
  const { WRAPPED } = await import('./fixture.ts')
  const far_end = await startFarEnd((outgoing) => sendJson(outgoing, CHAT_ANSWER))
  const proxy = await startWith(far_end)
  const answer = await fetch(`${proxy.url}/proxy/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${WRAPPED}`, 'content-type': 'application/json' },
    body: '{"model":"gpt-5.4","messages":[]}',
  })
  expect(await answer.json()).toEqual(CHAT_ANSWER)
  expect((await fetch(`${proxy.url}/proxy/openai`, { method: 'HEAD' })).status).toBe(200)
})

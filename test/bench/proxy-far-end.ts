import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * node proxy-far-end.ts – a provider that answers at once: JSON, or 50 events where the body asks for a
 * stream. `x-delay-ms` and `x-chunk-ms` slow it down. Prints its port.
 */
const usage = {
  prompt_tokens: 120,
  completion_tokens: 200,
  total_tokens: 320,
  prompt_tokens_details: { cached_tokens: 0 },
}
const about = { id: 'chatcmpl-1', model: 'gpt-5.4', service_tier: 'default', created: 1 }
const json = Buffer.from(
  JSON.stringify({
    ...about,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        finish_reason: 'stop',
        message: { role: 'assistant', content: 'word '.repeat(200) },
      },
    ],
    usage,
  }),
)
const chunk = (choices: unknown[], more: object = {}) =>
  Buffer.from(
    `data: ${JSON.stringify({ ...about, object: 'chat.completion.chunk', choices, usage: null, ...more })}\n\n`,
  )
const events = [
  ...Array.from({ length: 48 }, (_, i) =>
    chunk([{ index: 0, delta: { content: `some words ${i}` }, finish_reason: null }]),
  ),
  chunk([], { usage }),
  Buffer.from('data: [DONE]\n\n'),
]

const server = createServer((incoming, outgoing) => {
  if (incoming.method === 'GET') {
    outgoing.end('{"object":"list","data":[]}')
    return
  }
  const chunks: Buffer[] = []
  incoming.on('data', (one: Buffer) => chunks.push(one))
  incoming.on('end', () => {
    const is_stream = Buffer.concat(chunks).includes('"stream":true')
    const delay_ms = Number(incoming.headers['x-delay-ms'] ?? 0)
    const chunk_ms = Number(incoming.headers['x-chunk-ms'] ?? 0)
    const answer = () => {
      if (!is_stream) {
        outgoing.writeHead(200, {
          'content-type': 'application/json',
          'content-length': json.length,
        })
        outgoing.end(json)
        return
      }
      outgoing.writeHead(200, { 'content-type': 'text/event-stream' })
      let at = 0
      const next = () => {
        outgoing.write(events[at++])
        if (at === events.length) outgoing.end()
        else if (chunk_ms > 0) setTimeout(next, chunk_ms)
        else setImmediate(next)
      }
      next()
    }
    if (delay_ms > 0) setTimeout(answer, delay_ms)
    else answer()
  })
})
server.keepAliveTimeout = 600_000
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))

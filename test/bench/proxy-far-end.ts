import { type AddressInfo, createServer, type Socket } from 'node:net'

/**
 * node proxy-far-end.ts – a provider that answers at once: JSON, or 50 events where the body asks for a
 * stream. `x-delay-ms` and `x-chunk-ms` slow it down. It works on bare sockets, so that it takes little of
 * the machine that is measured. Prints its port.
 */
const usage = {
  prompt_tokens: 120,
  completion_tokens: 200,
  total_tokens: 320,
  prompt_tokens_details: { cached_tokens: 0 },
}
const about = { id: 'chatcmpl-1', model: 'gpt-5.4', service_tier: 'default', created: 1 }
const message = { role: 'assistant', content: 'word '.repeat(200) }
const json = Buffer.from(
  JSON.stringify({
    ...about,
    object: 'chat.completion',
    choices: [{ index: 0, finish_reason: 'stop', message }],
    usage,
  }),
)
const answer = Buffer.concat([
  Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n`,
  ),
  json,
])
const stream_head = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n',
)

function chunk(choices: unknown[], more: object = {}): Buffer {
  const event = { ...about, object: 'chat.completion.chunk', choices, usage: null, ...more }
  return chunkOf(`data: ${JSON.stringify(event)}\n\n`)
}

function chunkOf(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
}

const events = [
  ...Array.from({ length: 48 }, (_, i) =>
    chunk([{ index: 0, delta: { content: `some words ${i}` }, finish_reason: null }]),
  ),
  chunk([], { usage }),
  Buffer.concat([chunkOf('data: [DONE]\n\n'), Buffer.from('0\r\n\r\n')]),
]

function send(socket: Socket, head: string, body: Buffer): void {
  const delay_ms = Number(/\r\nx-delay-ms: (\d+)/i.exec(head)?.[1] ?? 0)
  const chunk_ms = Number(/\r\nx-chunk-ms: (\d+)/i.exec(head)?.[1] ?? 0)
  const start = () => {
    if (body.includes('"stream":true')) stream(socket, chunk_ms)
    else socket.write(answer)
  }
  if (delay_ms > 0) setTimeout(start, delay_ms)
  else start()
}

function stream(socket: Socket, chunk_ms: number): void {
  let at = 0
  const next = () => {
    const event = events[at++]
    if (!event || socket.destroyed) return
    socket.write(event)
    if (chunk_ms > 0) setTimeout(next, chunk_ms)
    else setImmediate(next)
  }
  socket.write(stream_head)
  next()
}

const server = createServer((socket) => {
  let waiting: Buffer = Buffer.alloc(0)
  socket.setNoDelay(true)
  socket.on('error', () => {})
  socket.on('data', (part) => {
    waiting = waiting.length === 0 ? part : Buffer.concat([waiting, part])
    const head_end = waiting.indexOf('\r\n\r\n')
    if (head_end < 0) return
    const head = waiting.toString('latin1', 0, head_end)
    const end = head_end + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
    if (waiting.length < end) return
    send(socket, head, waiting.subarray(head_end + 4, end))
    waiting = waiting.subarray(end)
  })
})
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))

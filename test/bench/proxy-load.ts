import { connect, type Socket } from 'node:net'

/**
 * node proxy-load.ts '{"port":…,"path":…,"headers":{},"body":…,"connections":32,"requests":1000}' – sends the
 * same request over and over, one at a time on each connection, and prints figures. It works on bare
 * sockets, so that it takes little of the machine that it measures.
 */
type Load = {
  readonly port: number
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string
  readonly connections: number
  readonly requests: number
}

const load = JSON.parse(process.argv[2] ?? '{}') as Load
const given = { ...load.headers, 'content-length': Buffer.byteLength(load.body) }
const head = Object.entries(given).map(([name, value]) => `${name}: ${value}\r\n`)
const request = Buffer.from(
  `POST ${load.path} HTTP/1.1\r\nhost: 127.0.0.1:${load.port}\r\n${head.join('')}\r\n${load.body}`,
)
const times: number[] = []
let failed = 0
let left = load.requests

const LAST_CHUNK = '\r\n0\r\n\r\n'

/** Whether an answer is whole, by the length that it tells or by its last chunk. */
function isWhole(answer: Buffer): boolean {
  const head_end = answer.indexOf('\r\n\r\n')
  if (head_end < 0) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(answer.toString('latin1', 0, head_end))?.[1]
  if (length !== undefined) return answer.length >= head_end + 4 + Number(length)
  return answer.toString('latin1', answer.length - LAST_CHUNK.length) === LAST_CHUNK
}

function work(): Promise<void> {
  return new Promise((resolve) => {
    let parts: Buffer[] = []
    let start = 0
    let is_waiting = false
    let socket: Socket
    function next(): void {
      if (left-- <= 0) {
        socket.destroy()
        resolve()
        return
      }
      is_waiting = true
      start = performance.now()
      socket.write(request)
    }
    function finish(is_good: boolean): void {
      is_waiting = false
      parts = []
      if (!is_good) failed++
      times.push(performance.now() - start)
    }
    function open(): void {
      socket = connect(load.port, '127.0.0.1', next)
      socket.setNoDelay(true)
      socket.on('data', (part) => {
        parts.push(part)
        // Only the first and the last part say whether it is over.
        if (parts.length > 1 && part.at(-1) !== 0x0a && part.at(-1) !== 0x7d) return
        const answer = parts.length === 1 ? part : Buffer.concat(parts)
        if (!isWhole(answer)) return
        finish(answer.toString('latin1', 9, 12) === '200')
        next()
      })
      socket.on('error', () => {})
      socket.on('close', () => {
        if (left < 0) return resolve()
        if (is_waiting) finish(false)
        open()
      })
    }
    open()
  })
}

const start = performance.now()
await Promise.all(Array.from({ length: load.connections }, work))
const seconds = (performance.now() - start) / 1_000
times.sort((a, b) => a - b)
const at = (share: number) => times[Math.floor(times.length * share)] ?? 0
console.log(JSON.stringify({ rps: times.length / seconds, p50: at(0.5), p99: at(0.99), failed }))

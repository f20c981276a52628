import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import protobuf from 'protobufjs/minimal.js'
import { onTestFinished } from 'vitest'
import { fixedClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import type { BookAll, BookContext } from '../../src/otlp/inbox.ts'
import { type OtlpDeps, otlpRoute } from '../../src/otlp/route.ts'
import type { Batch, Booked } from '../../src/otlp/signal.ts'

export const NOW = Date.UTC(2026, 10, 24, 10)

export type Receiver = {
  readonly url: string
  readonly booked: { readonly batch: Batch; readonly context: BookContext }[]
}

export type Book = (batch: Batch, context: BookContext) => Promise<Booked>

/** Books one after the other. */
export function bookEach(book: Book): BookAll {
  return async (arrivals) => {
    const booked: Booked[] = []
    for (const { batch, context } of arrivals) booked.push(await book(batch, context))
    return booked
  }
}

/** The receiver on a real socket. What it takes in lands in `booked`, unless `book` says otherwise. */
export async function startReceiver({
  book,
  ...deps
}: Partial<OtlpDeps> & { book?: Book } = {}): Promise<Receiver> {
  const booked: Receiver['booked'] = []
  const bookAll = bookEach(
    book ??
      (async (batch, context) => {
        booked.push({ batch, context })
        return { rejected: 0, message: '' }
      }),
  )
  const app = otlpRoute({ clock: fixedClock(NOW), log: silentLog, bookAll, ...deps })
  const server = createServer(getRequestListener((req, env) => app.fetch(req, env)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, booked }
}

export type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer }

export type Sent = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Without a Content-Length. */
  readonly is_chunked?: boolean
}

/** One request byte for byte, which `fetch` would put straight. */
export function send(url: string, { method = 'POST', headers, body, is_chunked }: Sent) {
  return new Promise<Answer>((resolve, reject) => {
    const length = is_chunked || body === undefined ? {} : { 'content-length': body.length }
    const out = request(url, { method, headers: { ...length, ...headers } }, async (incoming) => {
      const chunks = await Array.fromAsync(incoming)
      resolve({
        status: incoming.statusCode ?? 0,
        headers: incoming.headers,
        body: Buffer.concat(chunks),
      })
    })
    out.on('error', reject)
    out.end(body)
  })
}

export const PROTOBUF = { 'content-type': 'application/x-protobuf' }
export const JSON_TYPE = { 'content-type': 'application/json' }

/** google.rpc.Status out of either encoding. */
export function statusOf({ headers, body }: Answer): { code: number; message: string } {
  if (headers['content-type'] === 'application/json') return JSON.parse(body.toString())
  const reader = protobuf.Reader.create(body)
  const status = { code: 0, message: '' }
  while (reader.pos < reader.len) {
    const tag = reader.tag()
    if (tag === 0x08) status.code = reader.int32()
    else if (tag === 0x12) status.message = reader.string()
    else reader.skipType(tag & 7)
  }
  return status
}

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'

/** node proxy-bare.ts <upstream port> – passes requests on and does nothing else. Prints its port. */
const upstream = `http://127.0.0.1:${process.argv[2]}`

const pool = new Pool(upstream, { keepAliveTimeout: 60_000, allowH2: false })
const server = createServer((incoming, outgoing) => {
  const chunks: Buffer[] = []
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
  incoming.on('end', () => {
    const { host: _, connection: __, ...headers } = incoming.headers
    pool.dispatch(
      {
        path: incoming.url ?? '/',
        method: 'POST',
        body: Buffer.concat(chunks),
        headers: headers as Record<string, string>,
      },
      {
        onRequestStart() {},
        onResponseStart(_controller, status, given) {
          const { connection: _c, 'keep-alive': _k, 'transfer-encoding': _t, ...kept } = given
          outgoing.writeHead(status, kept)
        },
        onResponseData: (_controller, chunk) => void outgoing.write(chunk),
        onResponseEnd: () => void outgoing.end(),
        onResponseError: () => void outgoing.destroy(),
      },
    )
  })
})
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))

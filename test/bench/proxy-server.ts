import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'
import { startProxy } from '../proxy/fixture.ts'

/** node proxy-server.ts bare|outlay <upstream port> – prints its port. */
const [variant, upstream_port] = process.argv.slice(2)
const upstream = `http://127.0.0.1:${upstream_port}`

if (variant === 'outlay') {
  const proxy = await startProxy({
    base_urls: { openai: `${upstream}/v1` },
    secrets: { openai: 'sk-real' },
    limit_nanos: 10n ** 18n,
  })
  // What tests look at would grow without end here.
  setInterval(() => {
    proxy.gate.admitted.length = 0
    proxy.gate.settled.length = 0
  }, 100)
  console.log(new URL(proxy.url).port)
} else {
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
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'
import type { ProxyOptions, TestProxy } from './fixture.ts'
import { startProxy } from './fixture.ts'

export type Seen = {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

type Answer = (outgoing: ServerResponse, seen: Seen) => void | Promise<void>

export type FarEnd = { readonly url: string; readonly seen: Seen[]; connections(): Promise<number> }

/** A provider's end of the wire: keeps what arrives, and answers as it is told. */
export async function startFarEnd(answer: Answer): Promise<FarEnd> {
  const seen: Seen[] = []
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const one = {
        method: incoming.method ?? '',
        url: incoming.url ?? '',
        headers: incoming.headers,
        body: Buffer.concat(chunks),
      }
      seen.push(one)
      void answer(outgoing, one)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    seen,
    connections: () =>
      new Promise((resolve, reject) =>
        server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      ),
  }
}

export const SECRETS = {
  openai: 'sk-real-0123456789abcdef',
  anthropic: 'sk-ant-api03-real-0123456789',
  google: 'AIzaReal0123456789',
  local: 'local-real-0123456789',
}

/** A proxy whose four providers are all the same far end. */
export async function startWith(
  far_end: Pick<FarEnd, 'url'>,
  options: Partial<ProxyOptions> = {},
): Promise<TestProxy> {
  const { url } = far_end
  const proxy = await startProxy({
    base_urls: { openai: `${url}/v1`, anthropic: url, google: url, local: `${url}/base` },
    secrets: SECRETS,
    ...options,
  })
  onTestFinished(() => proxy.close())
  return proxy
}

export function sendJson(outgoing: ServerResponse, value: unknown, status = 200): void {
  const body = JSON.stringify(value)
  outgoing.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  outgoing.end(body)
}

export const CHAT_ANSWER = {
  id: 'c1',
  object: 'chat.completion',
  model: 'gpt-5.4',
  service_tier: 'default',
  choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'hi' } }],
  usage: { prompt_tokens: 12, completion_tokens: 2, total_tokens: 14 },
}

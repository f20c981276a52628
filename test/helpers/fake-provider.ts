import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { onTestFinished } from 'vitest'

/** One request as it came over the wire. Header names are in lower case. */
export type FakeRequest = {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string>>
}

/** What is sent back. `text` goes out as it stands; `is_silent` never answers. */
export type FakeAnswer = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly text?: string
  readonly is_silent?: boolean
}

export type FakeRoute = (request: FakeRequest) => FakeAnswer

export type FakeProvider = {
  readonly url: string
  /** Every request so far, in order. */
  readonly requests: readonly FakeRequest[]
  /** Answers the next requests to paths that match, before any route does. */
  next(path: RegExp, ...answers: readonly FakeAnswer[]): void
  close(): Promise<void>
}

/** The far end of the network: a real HTTP server on a free port, closed when the test ends. `now` is its clock. */
export async function startFakeProvider(
  routes: Readonly<Record<string, FakeRoute>>,
  now: () => number = Date.now,
): Promise<FakeProvider> {
  const requests: FakeRequest[] = []
  const queue: { path: RegExp; answer: FakeAnswer }[] = []
  const app = new Hono().all('*', async (c) => {
    const url = new URL(c.req.url)
    const request = {
      method: c.req.method,
      path: url.pathname,
      query: url.searchParams,
      headers: c.req.header(),
    }
    requests.push(request)
    const at = queue.findIndex(({ path }) => path.test(url.pathname))
    const [planned] = at < 0 ? [] : queue.splice(at, 1)
    const answer = planned?.answer ??
      routes[url.pathname]?.(request) ?? { status: 404, json: { error: 'not found' } }
    if (answer.is_silent)
      await new Promise((resolve) => c.req.raw.signal.addEventListener('abort', resolve))
    const body = answer.text ?? JSON.stringify(answer.json ?? {})
    return new Response(body, {
      status: answer.status ?? 200,
      headers: {
        'content-type': 'application/json',
        date: new Date(now()).toUTCString(),
        ...answer.headers,
      },
    })
  })
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const close = () =>
    new Promise<void>((resolve) => {
      if ('closeAllConnections' in server) server.closeAllConnections()
      server.close(() => resolve())
    })
  onTestFinished(close)
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    next(path, ...answers) {
      for (const answer of answers) queue.push({ path, answer })
    },
    close,
  }
}

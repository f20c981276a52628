import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import type { Gate } from '../budgets/admission.ts'
import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { ProxyKey, ResolveKey } from '../keys/proxy-key.ts'
import type { Log } from '../log.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Secret } from '../secret.ts'
import type { Db } from '../store/schema.ts'
import { exchange } from './exchange.ts'
import { createLimiter, type Limiter } from './limiter.ts'
import { pollJobs } from './poll.ts'
import { Refusal, sendRefusal } from './refusal.ts'
import { createTarget, splitMount, type Target } from './target.ts'
import { createUpstreams, type UpstreamDeps, type Upstreams } from './upstream.ts'

export type ProxyDeps = UpstreamDeps & {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly gate: Gate
  readonly resolveKey: ResolveKey
  /** The provider's own key that a wrapped key stands for; null where none is connected. */
  upstreamKey(provider: string, key: Pick<ProxyKey, 'id'>): Promise<Secret | null>
  catalog(): Promise<Catalog>
}

/** The proxy while it runs. */
export type ProxyState = {
  readonly deps: ProxyDeps
  readonly limiter: Limiter
  readonly upstreams: Upstreams
  /** Servers that were seen to refuse `stream_options`. */
  readonly without_usage_option: Set<string>
}

const POLL_EVERY_MS = 5_000

/** The routes of the proxy, and its connections to providers. `close` ends what still runs. */
export function proxyRoute(deps: ProxyDeps): {
  hono: Hono<{ Bindings: HttpBindings }>
  close(): Promise<void>
} {
  const state: ProxyState = {
    deps,
    limiter: createLimiter(),
    upstreams: createUpstreams(deps),
    without_usage_option: new Set(),
  }
  const running = new Set<Promise<void>>()
  function track(work: Promise<void>): void {
    running.add(work)
    void work.finally(() => running.delete(work))
  }
  const sent = alreadySent()
  const hono = new Hono<{ Bindings: HttpBindings }>()
  hono.all('/proxy/*', async (c) => {
    // Hono answers HEAD itself, with the headers of what it is given.
    if (c.env.incoming.method === 'HEAD')
      return new Response(null, await head(state, c.env.incoming))
    track(serve(state, c.env.incoming, c.env.outgoing))
    return sent
  })
  let polling: Promise<void> | undefined
  const poll = setInterval(() => {
    polling ??= pollAndLog(state).finally(() => {
      polling = undefined
    })
  }, POLL_EVERY_MS)
  poll.unref()
  return {
    hono,
    async close() {
      clearInterval(poll)
      await state.upstreams.close()
      await Promise.allSettled([...running, polling])
    },
  }
}

/**
 * Tells the listener that the socket is taken care of. The package's own constant does so only when it
 * is loaded before the first listener is made, which puts a lighter class in the place of `Response`: of
 * that class it is an answer like any other, and is sent, empty. A look at the body makes it a real one.
 */
function alreadySent(): Response {
  const response = new Response(null, { headers: { 'x-hono-already-sent': 'true' } })
  void response.body
  return response
}

async function pollAndLog(state: ProxyState): Promise<void> {
  await pollJobs(state).catch((error: unknown) => {
    state.deps.log.warn('jobs of the proxy were not looked up', { reason: messageOf(error) })
  })
}

/** Never throws: every request gets an answer, or its connection is closed. */
async function serve(
  state: ProxyState,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  let target: Target | undefined
  try {
    target = await findTarget(state, incoming.url ?? '')
    if (!target) return sendUnknownMount(outgoing)
    if (incoming.headers.upgrade !== undefined && incoming.headers['sec-websocket-key'])
      throw new Refusal('upgrade_refused', 'Outlay does not forward WebSockets. Use HTTP.')
    if (target.is_root && incoming.method === 'GET') return sendRoot(outgoing, target)
    await exchange(state, target, incoming, outgoing)
  } catch (error) {
    if (error instanceof Refusal && target)
      return sendRefusal(outgoing, target.surface, error.problem)
    state.deps.log.warn('defect in the proxy', {
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    if (!target) return void outgoing.destroy()
    const problem = new Refusal('unavailable', 'Outlay failed to handle this request.').problem
    sendRefusal(outgoing, target.surface, problem)
  }
}

async function findTarget({ upstreams }: ProxyState, url: string): Promise<Target | undefined> {
  const at = splitMount(url)
  if (!at) return undefined
  const id = at.name ?? at.mount
  const wire = await upstreams.findWire(id, at.name !== null)
  return wire && createTarget(id, wire, at)
}

/** Clients look whether anything is there before they send a key. */
async function head(state: ProxyState, { url = '' }: IncomingMessage): Promise<ResponseInit> {
  const target = await findTarget(state, url)
  return { status: target?.is_root ? 200 : 404 }
}

function sendRoot(outgoing: ServerResponse, { provider }: Target): void {
  const body = JSON.stringify({ service: 'outlay', provider })
  outgoing.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  outgoing.end(body)
}

function sendUnknownMount(outgoing: ServerResponse): void {
  const body =
    'Nothing is proxied here. Outlay has /proxy/openai/v1, /proxy/anthropic, /proxy/google and /proxy/compat/<name>.\n'
  outgoing.writeHead(404, { 'content-type': 'text/plain', 'content-length': body.length })
  outgoing.end(body)
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Gate } from '../budgets/admission.ts'
import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { ProxyKey, ResolveKey } from '../keys/proxy-key.ts'
import type { Log } from '../log.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Secret } from '../secret.ts'
import type { Db } from '../store/schema.ts'
import { startTicker } from '../ticker.ts'
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
  upstreamKey(provider: string, key: Pick<ProxyKey, 'id'>): Secret | null
  readonly catalog: Catalog
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

export type ProxyRoute = {
  /** Answers a request whose path is below the proxy's mount, straight to its socket. */
  handle(incoming: IncomingMessage, outgoing: ServerResponse): void
  /** Ends what still runs. */
  close(): Promise<void>
}

/** The routes of the proxy, and its connections to providers. */
export function proxyRoute(deps: ProxyDeps): ProxyRoute {
  const state: ProxyState = {
    deps,
    limiter: createLimiter(),
    upstreams: createUpstreams(deps),
    without_usage_option: new Set(),
  }
  const running = new Set<Promise<void>>()
  const polling = startTicker(
    POLL_EVERY_MS,
    () => pollJobs(state),
    (error) => deps.log.warn('jobs of the proxy were not looked up', { reason: messageOf(error) }),
  )
  return {
    handle(incoming, outgoing) {
      const work = serve(state, incoming, outgoing).then(() => void running.delete(work))
      running.add(work)
    },
    async close() {
      const polled = polling.close()
      await state.upstreams.close()
      await Promise.allSettled([...running, polled])
    },
  }
}

/** Never throws: every request gets an answer, or its connection is closed. */
async function serve(
  state: ProxyState,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  let target: Target | undefined
  try {
    target = findTarget(state, incoming.url ?? '')
    // Clients look whether anything is there before they send a key.
    if (incoming.method === 'HEAD')
      return void outgoing.writeHead(target?.is_root ? 200 : 404).end()
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

function findTarget({ upstreams }: ProxyState, url: string): Target | undefined {
  const at = splitMount(url)
  if (!at) return undefined
  const id = at.name ?? at.mount
  const wire = upstreams.findWire(id, at.name !== null)
  return wire && createTarget(id, wire, at)
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

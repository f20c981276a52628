import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { Pool } from 'undici'
import type { Gate } from '../budgets/admission.ts'
import { type Clock, HOUR_MS } from '../clock.ts'
import type { ProxyKey, ResolveKey } from '../keys/proxy-key.ts'
import type { Log } from '../log.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { compatWire } from '../providers/compat/wire.ts'
import type { Provider } from '../providers/provider.ts'
import type { Secret } from '../secret.ts'
import type { Db } from '../store/schema.ts'
import { exchange } from './exchange.ts'
import { createLimiter, type Limiter } from './limiter.ts'
import { Refusal, sendRefusal } from './refusal.ts'
import { createTarget, splitMount, type Target } from './target.ts'

export type ProxyDeps = {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly gate: Gate
  readonly providers: readonly Provider[]
  readonly resolveKey: ResolveKey
  /** The provider's own key that a wrapped key stands for; null where none is connected. */
  upstreamKey(provider: string, key: Pick<ProxyKey, 'id'>): Promise<Secret | null>
  /** Where a provider is reached, if not at its real host. */
  baseUrl(provider: string): string | undefined
  /** The base URL of an OpenAI-compatible connection; null for a name that none has. */
  compatBaseUrl(name: string): Promise<string | null>
  catalog(): Promise<Catalog>
}

/** The proxy while it runs. */
export type ProxyState = {
  readonly deps: ProxyDeps
  readonly limiter: Limiter
  /** Servers that were seen to refuse `stream_options`. */
  readonly without_usage_option: Set<string>
  poolOf(base_url: string): { readonly pool: Pool; readonly prefix: string }
}

/** Reasoning models are silent for minutes, and clients wait for as long as they like. */
const SILENCE_MS = HOUR_MS
const IDLE_MS = 30_000

/** The routes of the proxy, and its connections to providers. `close` ends what still runs. */
export function proxyRoute(deps: ProxyDeps): {
  hono: Hono<{ Bindings: HttpBindings }>
  close(): Promise<void>
} {
  const pools = new Map<string, { pool: Pool; prefix: string }>()
  const running = new Set<Promise<void>>()
  const proxy: ProxyState = {
    deps,
    limiter: createLimiter(),
    without_usage_option: new Set(),
    poolOf(base_url) {
      const known = pools.get(base_url)
      if (known) return known
      const opened = openPool(base_url)
      pools.set(base_url, opened)
      return opened
    },
  }
  const hono = new Hono<{ Bindings: HttpBindings }>()
  hono.all('/proxy/*', (c) => {
    const { incoming, outgoing } = c.env
    const work = serve(proxy, incoming, outgoing)
    running.add(work)
    void work.finally(() => running.delete(work))
    return RESPONSE_ALREADY_SENT
  })
  return {
    hono,
    async close() {
      await Promise.all([...pools.values()].map(({ pool }) => pool.destroy()))
      await Promise.allSettled(running)
    },
  }
}

function openPool(base_url: string): { pool: Pool; prefix: string } {
  const { origin, pathname } = new URL(base_url)
  const pool = new Pool(origin, {
    headersTimeout: SILENCE_MS,
    bodyTimeout: SILENCE_MS,
    keepAliveTimeout: IDLE_MS,
    allowH2: false,
  })
  return { pool, prefix: pathname.replace(/\/+$/, '') }
}

/** Never throws: every request gets an answer, or its connection is closed. */
async function serve(
  proxy: ProxyState,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  let target: Target | undefined
  try {
    target = await findTarget(proxy, incoming.url ?? '')
    if (!target) return sendUnknownMount(outgoing)
    if (incoming.headers.upgrade !== undefined && incoming.headers['sec-websocket-key'])
      throw new Refusal('upgrade_refused', 'Outlay does not forward WebSockets. Use HTTP.')
    if (target.is_root && (incoming.method === 'GET' || incoming.method === 'HEAD'))
      return sendRoot(outgoing, target)
    await exchange(proxy, target, incoming, outgoing)
  } catch (error) {
    if (error instanceof Refusal && target)
      return sendRefusal(outgoing, target.surface, error.problem)
    proxy.deps.log.warn('defect in the proxy', {
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    if (!target) return void outgoing.destroy()
    const problem = new Refusal('unavailable', 'Outlay failed to handle this request.').problem
    sendRefusal(outgoing, target.surface, problem)
  }
}

async function findTarget({ deps }: ProxyState, url: string): Promise<Target | undefined> {
  const at = splitMount(url)
  if (!at) return undefined
  if (at.name !== null) {
    const base_url = await deps.compatBaseUrl(at.name)
    return base_url === null ? undefined : createTarget(at.name, compatWire(at.name, base_url), at)
  }
  const provider = deps.providers.find(({ id }) => id === at.mount)
  if (!provider?.wire) return undefined
  const base_url = deps.baseUrl(provider.id) ?? provider.wire.base_url
  return createTarget(provider.id, { ...provider.wire, base_url }, at)
}

/** Clients look whether anything is there before they send a key. */
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

import { createServer, type Server } from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { hostHeaderValidation, originValidation } from '@modelcontextprotocol/hono'
import { createMcpHandler } from '@modelcontextprotocol/server'
import { Hono, type MiddlewareHandler } from 'hono'
import type { App } from './app.ts'
import { MINUTE_MS } from './clock.ts'
import { UserError } from './errors.ts'
import { newId } from './ids.ts'
import { connectDeps } from './jobs/connect-deps.ts'
import { isTokenProblem, type Scope, verifyAccessToken } from './keys/access-token.ts'
import { hasPendingUsage } from './ledger/pending-usage.ts'
import { countRefused } from './ledger/receiver.ts'
import { createBookAll } from './otlp/book.ts'
import { noticeGrpc } from './otlp/grpc.ts'
import { createRefusalCounter } from './otlp/refusals.ts'
import { otlpRoute } from './otlp/route.ts'
import { SIEVES } from './otlp/sieve.ts'
import type { ProxyRoute } from './proxy/route.ts'
import { PROXY_MOUNT } from './proxy/target.ts'
import { createMcpServer } from './server.ts'
import { createSubscriptionBus } from './subscription-bus.ts'
import { connectRoute } from './ui/connect-page.ts'
import { secretRoute } from './ui/secret-page.ts'
import { VERSION } from './version.ts'

export type SidePort = { readonly url: string; close(): Promise<void> }

const LOOPBACK = ['127.0.0.1', 'localhost', '::1', '[::1]']

/** Long recordings and batch files come over slow lines too. */
const UPLOAD_MS = 5 * MINUTE_MS

/** What tells the listener that the socket is taken care of. */
const ALREADY_SENT = new Response(null, { headers: { 'x-hono-already-sent': 'true' } })

/** OTLP, the proxy, MCP over HTTP and the pages, as one Hono app; the caller gives it a socket. */
export function createSidePort(app: App): {
  hono: Hono<{ Bindings: HttpBindings }>
  /** Telemetry that did not get as far as the app. */
  onRefused: ReturnType<typeof createRefusalCounter>
  resume(): Promise<void>
  close(): Promise<void>
} {
  const hono = new Hono<{ Bindings: HttpBindings }>()
  const mcp = createMcpHandler(
    ({ authInfo, era }) =>
      createMcpServer({
        open: async () => app,
        log: app.log,
        can_write: !app.config.is_read_only && (authInfo?.scopes.includes('write') ?? false),
        actor: authInfo?.clientId ?? 'unknown',
        ...(era === 'modern' ? { announces: { era, is_lasting: false } } : {}),
      }),
    {
      bus: createSubscriptionBus(app),
      onerror: (error) => app.log.warn('MCP over HTTP', { reason: error.message }),
    },
  )
  for (const guard of hostGuards(app)) hono.use(guard)
  hono.get('/healthz', (c) => c.json({ service: 'outlay', version: VERSION, role: 'owner' }))
  hono.all('/mcp', async (c) => {
    const auth = await authenticate(app, c.req.header('authorization'), 'read')
    if ('problem' in auth) return c.json({ error: auth.problem }, auth.status, auth.headers)
    return mcp.fetch(c.req.raw, { authInfo: auth })
  })
  hono.route('/', secretRoute(app))
  hono.route('/', connectRoute(connectDeps(app)))
  const { log, db, clock } = app
  const onRefused = createRefusalCounter({
    log,
    count: (one) => countRefused(db, one, clock.now()),
  })
  hono.route('/', otlpRoute({ ...otlpDeps(app), onRefused }))
  // Opened by its first request: whoever does not use it does not pay for it.
  let proxy: Promise<ProxyRoute> | undefined
  const openOnce = () => {
    proxy ??= import('./open-proxy.ts').then(({ openProxy }) => openProxy(app))
    // What could not be opened may open at the next request.
    proxy.catch(() => {
      proxy = undefined
    })
    return proxy
  }
  hono.all(`${PROXY_MOUNT}*`, async (c) => {
    const { handle } = await openOnce()
    handle(c.env.incoming, c.env.outgoing)
    return ALREADY_SENT
  })
  hono.notFound((c) =>
    c.text(
      'Nothing is here. Outlay answers at /mcp, /v1/logs, /proxy/<provider> and /healthz.\n',
      404,
    ),
  )
  hono.onError((error, c) => {
    if (error instanceof UserError) return c.text(`${error.message}\n`, 400)
    const id = newId('err')
    app.log.warn(
      `defect ${id} at ${c.req.method} ${c.req.routePath}: ${error.stack ?? error.message}`,
    )
    return c.text(`Internal error ${id}.\n`, 500)
  })
  return {
    hono,
    onRefused,
    /** Jobs that an earlier process left behind are asked after, whether or not a request comes. */
    async resume() {
      if (await hasPendingUsage(app.db)) await openOnce()
    },
    async close() {
      await mcp.close()
      await (await proxy)?.close()
    },
  }
}

/**
 * Takes the port.
 * @throws UserError when it is taken or when binding beyond loopback is not prepared for.
 */
export async function openSidePort(app: App): Promise<SidePort> {
  const { host, port } = app.config
  await refuseOpenBind(app)
  const { hono, onRefused, resume, close } = createSidePort(app)
  // Its own Response in place of the global one would answer where the proxy has answered already.
  const server = createServer(getRequestListener(hono.fetch, { overrideGlobalObjects: false }))
  noticeGrpc(server, () => onRefused({ signal: null, status: 505, user_agent: '' }))
  server.headersTimeout = 20_000
  server.requestTimeout = UPLOAD_MS
  server.keepAliveTimeout = 65_000
  await listen(server, host, port)
  await resume()
  const address = server.address()
  const bound = typeof address === 'object' && address ? address.port : port
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      await close()
      server.closeAllConnections()
      await closed
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === 'EADDRINUSE'
          ? `Port ${port} on ${host} is taken by another program. Set OUTLAY_PORT to a free one (0 picks one), or OUTLAY_SIDE_PORT=off.`
          : `The side port ${host}:${port} cannot be opened (${error.code}).`
      reject(new UserError(reason))
    })
    server.listen(port, host, () => resolve())
  })
}

/** Beyond loopback anybody can reach the port: names and tokens must be settled first. */
async function refuseOpenBind(app: App): Promise<void> {
  const { host, allowed_hosts } = app.config
  if (LOOPBACK.includes(host)) return
  if (allowed_hosts.length === 0)
    throw new UserError(
      `OUTLAY_HOST=${host} is reachable from outside: set OUTLAY_ALLOWED_HOSTS to the host names that clients use.`,
    )
  if (!(await hasToken(app)))
    throw new UserError(
      `OUTLAY_HOST=${host} is reachable from outside: make an access token first (outlay tokens create).`,
    )
}

async function hasToken({ db, clock }: App): Promise<boolean> {
  const row = await db
    .selectFrom('access_token')
    .select('id')
    .where('revoked_at', 'is', null)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', clock.now())]))
    .executeTakeFirst()
  return row !== undefined
}

/** Against DNS rebinding and foreign pages: https://modelcontextprotocol.io/specification/2026-07-28 */
function hostGuards({ config }: App): MiddlewareHandler[] {
  const names = [...config.allowed_hosts, ...LOOPBACK]
  return [hostHeaderValidation(names), originValidation(names)]
}

type AuthInfo = { token: string; clientId: string; scopes: string[]; expiresAt: number }
type Refusal = { problem: string; status: 401 | 403; headers: Record<string, string> }

const TOKEN_CHECK_S = 3_600

async function authenticate(
  app: App,
  header: string | undefined,
  needed: Scope,
): Promise<AuthInfo | Refusal> {
  const text = /^Bearer (.+)$/i.exec(header ?? '')?.[1]
  const challenge = (error: string) => ({ 'WWW-Authenticate': `Bearer error="${error}"` })
  if (!text) {
    const problem =
      'An access token is needed: Authorization: Bearer olt_…. Make one with: outlay tokens create'
    return { problem, status: 401, headers: { 'WWW-Authenticate': 'Bearer' } }
  }
  const result = await verifyAccessToken(app.db, text, app.clock.now())
  if (isTokenProblem(result))
    return { problem: result.message, status: 401, headers: challenge('invalid_token') }
  if (!result.scopes.includes(needed)) {
    const problem = `The token "${result.name}" lacks the scope "${needed}".`
    return { problem, status: 403, headers: challenge('insufficient_scope') }
  }
  return {
    token: result.id,
    clientId: result.name,
    scopes: [...result.scopes],
    expiresAt: Math.floor(app.clock.wallNow() / 1000) + TOKEN_CHECK_S,
  }
}

/** On loopback telemetry needs no token; beyond it does. One of ours that is sent is always checked. */
function otlpDeps(app: App): Parameters<typeof otlpRoute>[0] {
  const { db, clock, log } = app
  const is_open = LOOPBACK.includes(app.config.host)
  return {
    clock,
    log,
    bookAll: createBookAll({
      db,
      clock,
      catalog: app.catalog,
      tags: app.config.tags,
      policy: app.policy,
    }),
    sieves: SIEVES,
    async authorize(header) {
      if (is_open && !/\bol[kt]_/.test(header ?? '')) return null
      const auth = await authenticate(app, header, 'ingest')
      return 'problem' in auth
        ? { status: auth.status, message: auth.problem, headers: auth.headers }
        : { id: auth.token, name: auth.clientId }
    },
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import { validateHostHeader, validateOriginHeader } from '@modelcontextprotocol/server'
import type { App } from './app.ts'
import { newId } from './ids.ts'
import { hasPendingUsage } from './ledger/pending-usage.ts'
import type { ProxyRoute } from './proxy/route.ts'
import { PROXY_MOUNT } from './proxy/target.ts'

/**
 * Where the proxy's requests leave the server before Hono sees them: a web Request and Response for each
 * would cost more than all that the proxy does with it.
 */
export type ProxyDoor = {
  /**
   * Whether the request is the proxy's, which then answers it. What comes under a name or from a page
   * that is not allowed here is not: it goes the common way, where it is refused.
   */
  take(incoming: IncomingMessage, outgoing: ServerResponse): boolean
  /** Jobs that an earlier process left behind are asked after, whether or not a request comes. */
  resume(): Promise<void>
  close(): Promise<void>
}

/** Clients send one of a few names; others must not fill the memory. */
const NAMES_MAX = 100

export function createProxyDoor(app: App, allowed_hosts: string[]): ProxyDoor {
  const known = new Set<string>()
  // Opened by its first request: whoever does not use it does not pay for it.
  let opening: Promise<ProxyRoute> | undefined
  let proxy: ProxyRoute | undefined

  function isAllowed({ headers: { host = '', origin } }: IncomingMessage): boolean {
    if (!known.has(host)) {
      if (!validateHostHeader(host, allowed_hosts).ok) return false
      if (known.size < NAMES_MAX) known.add(host)
    }
    return origin === undefined || validateOriginHeader(origin, allowed_hosts).ok
  }

  async function open(): Promise<ProxyRoute> {
    opening ??= import('./open-proxy.ts').then(({ openProxy }) => openProxy(app))
    try {
      proxy = await opening
      return proxy
    } catch (error) {
      // What could not be opened may open at the next request.
      opening = undefined
      throw error
    }
  }

  async function openFor(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    try {
      const { handle } = await open()
      handle(incoming, outgoing)
    } catch (error) {
      const id = newId('err')
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
      app.log.warn(`defect ${id} when the proxy was opened: ${reason}`)
      outgoing.writeHead(500, { 'content-type': 'text/plain' }).end(`Internal error ${id}.\n`)
    }
  }

  return {
    take(incoming, outgoing) {
      if (incoming.url?.startsWith(PROXY_MOUNT) !== true || !isAllowed(incoming)) return false
      if (proxy) proxy.handle(incoming, outgoing)
      else void openFor(incoming, outgoing)
      return true
    },
    async resume() {
      if (await hasPendingUsage(app.db)) await open()
    },
    async close() {
      await (await opening)?.close()
    },
  }
}

import type { App } from './app.ts'
import { createGate } from './budgets/gate.ts'
import { openKeyring } from './keys/keyring.ts'
import { type ProxyRoute, proxyRoute } from './proxy/route.ts'

/** The proxy with its keys, its budgets and the ledger of an open program. */
export async function openProxy(app: App): Promise<ProxyRoute> {
  const { db, clock, log, providers, config } = app
  const keyring = openKeyring(app)
  const gate = await createGate(app)
  const catalog = await app.catalog()
  const { handle, close } = proxyRoute({
    db,
    clock,
    log,
    gate,
    providers,
    catalog,
    resolveKey: keyring.resolveKey,
    upstreamKey: keyring.upstreamKey,
    baseUrl: (id) => keyring.upstreamBaseUrl(id) ?? config.upstream_base_urls[id],
    compatBaseUrl: keyring.compatBaseUrl,
  })
  return {
    handle,
    async close() {
      await close()
      await gate.close()
      keyring.close()
    },
  }
}

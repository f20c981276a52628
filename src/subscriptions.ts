import type { McpServer } from '@modelcontextprotocol/server'
import type { App } from './app.ts'

/**
 * Announces changed budgets over one lasting connection. A 2025-era client names the resources it wants
 * (`resources/subscribe`); a newer one tells its transport, which lets through only what was asked for,
 * so that its watch begins with the first request that needs the store. Gives the `open` that notices.
 */
export function serveSubscriptions(
  { server }: McpServer,
  { open, era }: { open(): Promise<App>; era: 'legacy' | 'modern' },
): () => Promise<App> {
  const wanted = new Set<string>()
  let watching: { close(): void } | undefined
  let is_closed = false
  const announce = (uris: readonly string[]) => {
    // The client may have gone; `onclose` ends the watch.
    for (const uri of uris)
      if (era === 'modern' || wanted.has(uri))
        server.sendResourceUpdated({ uri }).catch(() => undefined)
  }
  const openWatched = async () => {
    const app = await open()
    if (era === 'legacy' && wanted.size === 0) return app
    // Loaded here: a client that only lists must not wait for the query builder.
    const { watchBudgets } = await import('./budgets/watch.ts')
    if (!is_closed) watching ??= watchBudgets(app, announce)
    return app
  }
  server.setRequestHandler('resources/subscribe', async ({ params }) => {
    wanted.add(params.uri)
    await openWatched()
    return {}
  })
  server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    wanted.delete(params.uri)
    return {}
  })
  const before = server.onclose
  server.onclose = () => {
    before?.()
    is_closed = true
    watching?.close()
  }
  return openWatched
}

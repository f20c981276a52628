import {
  InMemoryServerEventBus,
  type McpServer,
  type ServerEventBus,
} from '@modelcontextprotocol/server'
import type { App } from './app.ts'
import { watchBudgets } from './budgets/watch.ts'

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
  const announce = (uris: readonly string[]) => {
    // The client may have gone; `onclose` ends the watch.
    for (const uri of uris)
      if (era === 'modern' || wanted.has(uri))
        server.sendResourceUpdated({ uri }).catch(() => undefined)
  }
  const openWatched = async () => {
    const app = await open()
    if (era === 'modern' || wanted.size > 0) watching ??= watchBudgets(app, announce)
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
    watching?.close()
  }
  return openWatched
}

/** The bus of HTTP subscriptions: budgets are watched as long as somebody listens. */
export function createSubscriptionBus(app: App): ServerEventBus & { close(): void } {
  const bus = new InMemoryServerEventBus((error) =>
    app.log.warn('a subscription failed', { reason: error.message }),
  )
  let watching: { close(): void } | undefined
  const stop = () => {
    watching?.close()
    watching = undefined
  }
  return {
    publish: (event) => bus.publish(event),
    subscribe(listener) {
      const unsubscribe = bus.subscribe(listener)
      watching ??= watchBudgets(app, (uris) => {
        for (const uri of uris) bus.publish({ kind: 'resource_updated', uri })
      })
      return () => {
        unsubscribe()
        if (bus.listenerCount === 0) stop()
      }
    },
    close: stop,
  }
}

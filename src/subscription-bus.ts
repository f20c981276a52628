import { InMemoryServerEventBus, type ServerEventBus } from '@modelcontextprotocol/server'
import type { App } from './app.ts'
import { watchBudgets } from './budgets/watch.ts'

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

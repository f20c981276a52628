import type { ServerResponse } from 'node:http'

/**
 * The client's end of an answer. What comes in one turn of the event loop goes out in one piece, at its
 * end: a provider's events often come several at a time, and each write has its price.
 */
export type Outlet = {
  /** The head goes out by itself where nothing comes with it: clients wait for it. */
  open(): void
  send(bytes: Buffer): void
  /** Without waiting for the turn's end. */
  flush(): void
  end(): void
}

/** `onFull` is told when the client takes less than is sent; `drain` of `outgoing` tells when it goes on. */
export function createOutlet(outgoing: ServerResponse, onFull: () => void): Outlet {
  let ready: Buffer[] = []
  let is_opening = false
  function take(): Buffer | undefined {
    const [first] = ready
    const bytes = ready.length > 1 ? Buffer.concat(ready) : first
    ready = []
    return bytes
  }
  function flush(): void {
    const bytes = take()
    if (outgoing.destroyed || outgoing.writableEnded) return
    if (bytes && !outgoing.write(bytes)) onFull()
    if (!bytes && is_opening) outgoing.flushHeaders()
    is_opening = false
  }
  return {
    open() {
      is_opening = true
      queueMicrotask(flush)
    },
    send(bytes) {
      if (ready.push(bytes) === 1) queueMicrotask(flush)
    },
    flush,
    end: () => void outgoing.end(take()),
  }
}

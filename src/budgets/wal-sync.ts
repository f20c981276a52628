import { close, fdatasync, openSync } from 'node:fs'

/**
 * Puts what was committed so far on disk without holding up the event loop: SQLite in WAL mode with
 * `synchronous = normal` has written the commit to the log but not asked the disk for it, which
 * `synchronous = full` would do while everybody waits. Calls that come during a sync share the next.
 * https://www.sqlite.org/pragma.html#pragma_synchronous
 */
export type WalSync = { sync(): Promise<void>; close(): Promise<void> }

export function openWalSync(path: string): WalSync {
  const file = openSync(`${path}-wal`, 'r+')
  let waiting: PromiseWithResolvers<void>[] = []
  let is_running = false

  function run(): void {
    if (is_running || waiting.length === 0) return
    is_running = true
    const served = waiting
    waiting = []
    fdatasync(file, (error) => {
      is_running = false
      for (const one of served) {
        if (error) one.reject(error)
        else one.resolve()
      }
      run()
    })
  }

  return {
    sync() {
      const one = Promise.withResolvers<void>()
      waiting.push(one)
      run()
      return one.promise
    },
    async close() {
      await new Promise<void>((resolve) => close(file, () => resolve()))
    },
  }
}

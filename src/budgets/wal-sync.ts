import { close, fdatasync, openSync } from 'node:fs'

/**
 * SQLite in WAL mode with `synchronous = normal` has written a commit to its log, where it outlives the
 * process, but has not asked the disk for it; `synchronous = full` would, while everybody waits. Here the
 * disk is asked beside the event loop, shortly after a commit: a power failure takes no more than what
 * was committed in that time. https://www.sqlite.org/pragma.html#pragma_synchronous
 */
export type WalSync = {
  /** Something was committed. */
  soon(): void
  close(): Promise<void>
}

const WITHIN_MS = 50

export function openWalSync(path: string, onError: (error: Error) => void): WalSync {
  const file = openSync(`${path}-wal`, 'r+')
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  /** What was committed since the last one began is not in it. */
  let is_wanted = false

  function soon(): void {
    is_wanted = true
    if (!running) timer ??= setTimeout(start, WITHIN_MS)
  }

  function start(): void {
    timer = undefined
    is_wanted = false
    running = sync().then(() => {
      running = undefined
      if (is_wanted) soon()
    })
  }

  function sync(): Promise<void> {
    return new Promise((resolve) => {
      fdatasync(file, (error) => {
        if (error) onError(error)
        resolve()
      })
    })
  }

  return {
    soon,
    async close() {
      await running
      clearTimeout(timer)
      await sync()
      await new Promise<void>((resolve) => close(file, () => resolve()))
    },
  }
}

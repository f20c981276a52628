/** Work that is done again and again while the process lives, never twice at once. */
export type Ticker = {
  /** Ends it, and waits for what still runs. */
  close(): Promise<void>
}

/** The first time after `every_ms`. Keeps no process alive; what fails is told and tried again. */
export function startTicker(
  every_ms: number,
  work: () => Promise<void>,
  onError: (error: unknown) => void,
): Ticker {
  let running: Promise<void> | undefined
  const timer = setInterval(() => {
    running ??= work()
      .catch(onError)
      .finally(() => {
        running = undefined
      })
  }, every_ms)
  timer.unref()
  return {
    async close() {
      clearInterval(timer)
      await running
    },
  }
}

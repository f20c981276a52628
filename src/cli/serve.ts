import { UserError } from '../errors.ts'
import type { Command } from './command.ts'

/** An idle program is small; one that has work again is not slow for long. */
const GROW_EVERY_MS = 10_000

export const serve: Command = {
  name: 'serve',
  usage: '',
  summary: 'Run in the foreground: MCP over HTTP, telemetry receiver and syncs, no stdio',
  options: {},
  positionals_max: 0,
  async run(_, { process, config, openApp }) {
    if (!config.has_side_port)
      throw new UserError('outlay serve needs the side port: unset OUTLAY_SIDE_PORT.')
    const app = await openApp()
    const { growYoungHeap } = await import('../young-heap.ts')
    growYoungHeap()
    const growing = setInterval(growYoungHeap, GROW_EVERY_MS).unref()
    const { startRuntime } = await import('../runtime.ts')
    const runtime = startRuntime(app)
    await runtime.started
    // Without stdio there is nothing to wait for but the port: a taken or forbidden one ends it here.
    const problem = runtime.problem()
    if (problem) {
      await runtime.close()
      throw problem
    }
    if (!runtime.sidePort())
      app.log.info('waiting: another Outlay owns this store; this one takes over when it ends')
    await untilStopped(process.stopping)
    await runtime.close()
    clearInterval(growing)
    return 0
  },
}

/** The timers of the jobs do not keep a process alive; a reader that waits for its turn must stay. */
async function untilStopped(stopping: AbortSignal): Promise<void> {
  const alive = setInterval(() => {}, 2 ** 30)
  await new Promise<void>((resolve) => {
    stopping.addEventListener('abort', () => resolve(), { once: true })
  })
  clearInterval(alive)
}

import { UserError } from '../errors.ts'
import type { Command } from './command.ts'

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
    const { startRuntime } = await import('../runtime.ts')
    const runtime = startRuntime(app)
    await runtime.started
    if (!runtime.sidePort())
      app.log.info('waiting: another Outlay owns this store; this one takes over when it ends')
    await new Promise<void>((resolve) => {
      process.stopping.addEventListener('abort', () => resolve(), { once: true })
    })
    await runtime.close()
    return 0
  },
}

import type { App } from '../app.ts'
import type { Runtime } from '../runtime.ts'
import { createMcpServer } from '../server.ts'
import type { Command } from './command.ts'

/**
 * MCP over stdio. Hosts start throw-away siblings only to ask for lists, so that nothing is opened, no
 * port and no file, before the first request that needs it.
 */
export const stdio: Command = {
  name: 'stdio',
  usage: '',
  summary: 'MCP over stdio: what Claude Desktop, Claude Code, Codex and Cursor start',
  options: {},
  positionals_max: 0,
  async run(_, { process, config, host, openApp }) {
    const { serveStdio, StdioServerTransport } = await import('@modelcontextprotocol/server/stdio')
    let opening: Promise<{ app: App; runtime: Runtime }> | undefined
    const open = async () => {
      opening ??= openApp().then(async (app) => {
        const { startRuntime } = await import('../runtime.ts')
        const runtime = startRuntime(app)
        await runtime.started
        return { app, runtime }
      })
      // A store that could not be opened may open at the next call.
      opening.catch(() => {
        opening = undefined
      })
      return (await opening).app
    }
    const ended = new Promise<void>((resolve) => {
      process.stdin.once('end', resolve)
      process.stdin.once('close', resolve)
      process.stopping.addEventListener('abort', () => resolve(), { once: true })
    })
    const handle = serveStdio(
      ({ era }) =>
        createMcpServer({
          open,
          log: host.log,
          can_write: !config.is_read_only,
          actor: 'stdio',
          announces: { era, is_lasting: true },
        }),
      {
        transport: new StdioServerTransport(process.stdin, process.stdout),
        onerror: (error) => host.log.warn('MCP over stdio', { reason: error.message }),
      },
    )
    await ended
    await handle.close()
    const opened = await opening?.catch(() => undefined)
    await opened?.runtime.close()
    return 0
  },
}

import { startSync } from '../jobs/sync-request.ts'
import type { Command } from './command.ts'

const FOREVER_MS = 2 ** 31 - 1

export const sync: Command = {
  name: 'sync',
  usage: '[provider] [--since DATE]',
  summary: 'Read usage and cost from the connected providers now, back to a date if given',
  options: { since: { type: 'string' }, 'dry-run': { type: 'boolean' } },
  positionals_max: 1,
  async run({ positionals, values }, { process, print, openApp }) {
    const app = await openApp()
    const { stderr } = process
    const width = stderr.columns ?? 80
    const run = await startSync(app, {
      provider: positionals[0],
      since: values['since'] as string | undefined,
      dry_run: values['dry-run'] === true,
      async progress(_done, _total, message) {
        // One line that is rewritten on a terminal, nothing in a log file.
        if (stderr.isTTY) stderr.write(`\r${message.slice(0, width - 1).padEnd(width - 1)}`)
      },
    })
    const stop = new Promise<'stopped'>((resolve) => {
      process.stopping.addEventListener('abort', () => resolve('stopped'), { once: true })
    })
    const outcome = await Promise.race([run.within(FOREVER_MS), stop])
    if (stderr.isTTY) stderr.write(`\r${' '.repeat(width - 1)}\r`)
    if (outcome === 'stopped') return 1
    const { state, rows, connections, failures } = outcome
    if (state === 'nothing_connected')
      print('No provider is connected. Run: outlay connect <provider>')
    else if (state === 'dry_run') print(`Would read ${connections.join(', ')}.`)
    else if (state === 'running')
      print(
        `Another Outlay process is reading at this moment: what it reads is there when it is done. ${rows} rows were read here.`,
      )
    else print(`Synced ${connections.join(', ')}: ${rows} rows read.`)
    for (const failure of failures) stderr.write(`${failure}\n`)
    return state === 'failed' || state === 'nothing_connected' ? 1 : 0
  },
}

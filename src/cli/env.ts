import { getSidePort } from '../jobs/proxy-url.ts'
import { SETUPS, setupLines } from '../setup.ts'
import { type Command, UsageError } from './command.ts'

export const env: Command = {
  name: 'env',
  usage: `<${SETUPS.join('|')}>`,
  summary: 'Print the lines that make a client send its usage here',
  options: {},
  positionals_max: 1,
  async run({ positionals: [client] }, { openApp, print }) {
    if (!client) throw new UsageError(`Usage: outlay env <${SETUPS.join('|')}>`)
    print(setupLines(client, await getSidePort(await openApp())))
    return 0
  },
}

import { SETUPS, setupLines } from '../setup.ts'
import { type Command, UsageError } from './command.ts'

export const env: Command = {
  name: 'env',
  usage: `<${SETUPS.join('|')}>`,
  summary: 'Print the lines that make a client send its usage here',
  options: {},
  positionals_max: 1,
  async run({ positionals: [client] }, { config, print }) {
    if (!client) throw new UsageError(`Usage: outlay env <${SETUPS.join('|')}>`)
    print(setupLines(client, `http://${config.host}:${config.port}`))
    return 0
  },
}

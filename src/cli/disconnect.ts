import { removeConnection } from '../keys/connection.ts'
import { type Command, UsageError } from './command.ts'

export const disconnect: Command = {
  name: 'disconnect',
  usage: '<provider> [--name N]',
  summary: 'Forget a stored key and stop reading; what was read stays',
  options: { name: { type: 'string' } },
  positionals_max: 1,
  async run({ positionals: [provider], values }, { print, openApp }) {
    if (!provider) throw new UsageError('Usage: outlay disconnect <provider> [--name N]')
    const app = await openApp()
    const name = values['name'] as string | undefined
    const one = await removeConnection(app.db, {
      provider,
      name,
      at: app.clock.now(),
      actor: 'cli',
    })
    print(`Removed the key of ${one.provider} "${one.name}". What was read stays.`)
    return 0
  },
}

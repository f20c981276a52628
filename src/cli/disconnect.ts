import { removeConnection } from '../keys/connection.ts'
import { removeUpstreamKey } from '../keys/upstream-key.ts'
import { type Command, UsageError } from './command.ts'

export const disconnect: Command = {
  name: 'disconnect',
  usage: '<provider> [--kind admin|inference] [--name N]',
  summary: 'Forget a stored key and stop reading; what was read stays',
  options: { name: { type: 'string' }, kind: { type: 'string' } },
  positionals_max: 1,
  async run({ positionals: [provider], values }, { print, openApp }) {
    if (!provider) throw new UsageError('Usage: outlay disconnect <provider> [--name N]')
    const app = await openApp()
    const name = values['name'] as string | undefined
    const given = { provider, name, at: app.clock.now(), actor: 'cli' }
    if (values['kind'] === 'inference') {
      const key = await removeUpstreamKey(app.db, {
        ...given,
        provider: provider.replace(/^compat\//, ''),
      })
      print(`Removed the inference key of ${key.provider} "${key.name}".`)
      return 0
    }
    const one = await removeConnection(app.db, given)
    print(`Removed the key of ${one.provider} "${one.name}". What was read stays.`)
    return 0
  },
}

import { rotateMasterKey } from '../keys/rotate.ts'
import type { Command } from './command.ts'

export const rotateKey: Command = {
  name: 'rotate-key',
  usage: '',
  summary: 'Make a new master key and seal every stored provider key with it',
  options: {},
  positionals_max: 0,
  async run(_, { print, openApp }) {
    const app = await openApp()
    const { key_id, resealed } = await rotateMasterKey(app.db, app.sealer, {
      at: app.clock.now(),
      actor: 'cli',
    })
    print(`The master key is now ${key_id}; ${resealed} provider keys were sealed again.`)
    return 0
  },
}

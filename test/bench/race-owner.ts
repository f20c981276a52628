import { askFor, openRaceGate } from './race-store.ts'

/** Holds what the budget gives and then waits to be killed: `node race-owner.ts <store> <budget> <n> <bound>`. */
const [path = '', budget = '', count = '0', bound = '0'] = process.argv.slice(2)
const gate = await openRaceGate(path, `owner_${process.pid}`)
const asked = Array.from({ length: Number(count) }, () => askFor(budget, BigInt(bound)))
const answers = await Promise.all(asked.map((one) => gate.admit(one)))
const held = answers.filter(({ kind }) => kind === 'admitted').length
process.stdout.write(`${held}\n`)
setInterval(() => {}, 1_000)

import { readdirSync } from 'node:fs'
import { arch, cpus, platform } from 'node:os'
import { parseArgs } from 'node:util'
import { type Bench, formatFigures, isMissed } from './bench.ts'

/** node test/bench/run.ts [--smoke] [name…] – see README.md. */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: 'boolean', default: false } },
})
const options = { is_smoke: values.smoke }
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.slice(0, -'.bench.ts'.length))
  .sort()
const unknown = positionals.find((name) => !names.includes(name))
if (unknown !== undefined) {
  console.error(`There is no bench "${unknown}". Known: ${names.join(', ')}.`)
  process.exit(2)
}

console.log(`Node ${process.versions.node}, ${platform()} ${arch()}, ${cpus().length} CPUs`)
let missed = 0
for (const name of positionals.length > 0 ? positionals : names) {
  const bench = (await import(`./${name}.bench.ts`)) as Bench
  const figures = await bench.run(options)
  console.log(`\n${name}\n${formatFigures(figures, options)}`)
  missed += figures.filter(isMissed).length
}
if (missed > 0 && !options.is_smoke) {
  console.error(`\n${missed} missed.`)
  process.exitCode = 1
}

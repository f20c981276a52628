import { parseArgs } from 'node:util'
import type { App } from '../app.ts'
import { fixedClock, systemClock } from '../clock.ts'
import { closest } from '../closest.ts'
import { parseConfig } from '../config.ts'
import { UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import { createLog } from '../log.ts'
import { providerEnvs } from '../providers/environment.ts'
import { VERSION } from '../version.ts'
import { type Command, type CommandContext, type Process, UsageError } from './command.ts'

/** Each command's module is loaded when it is called. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  stdio: async () => (await import('./stdio.ts')).stdio,
  serve: async () => (await import('./serve.ts')).serve,
  connect: async () => (await import('./connect.ts')).connect,
  disconnect: async () => (await import('./disconnect.ts')).disconnect,
  sync: async () => (await import('./sync.ts')).sync,
  import: async () => (await import('./import.ts')).importCommand,
  verify: async () => (await import('./verify.ts')).verify,
  tokens: async () => (await import('./tokens.ts')).tokens,
  keys: async () => (await import('./keys.ts')).keys,
  budgets: async () => (await import('./budgets.ts')).budgets,
  'rotate-key': async () => (await import('./rotate-key.ts')).rotateKey,
  env: async () => (await import('./env.ts')).env,
  doctor: async () => (await import('./doctor.ts')).doctor,
  demo: async () => (await import('./demo.ts')).demo,
}

/** Runs one command line. Exit codes: 0 done, 1 it failed, 2 wrong usage. */
export async function runCommand(argv: readonly string[], process: Process): Promise<number> {
  const say = (text: string) => process.stderr.write(`${text}\n`)
  try {
    const [name = 'stdio', ...rest] = argv
    if (['help', '--help', '-h'].includes(name)) return await help(process)
    if (['version', '--version', '-v'].includes(name)) {
      process.stdout.write(`${VERSION}\n`)
      return 0
    }
    return await runNamed(name, rest, process)
  } catch (error) {
    if (error instanceof UsageError) {
      say(error.message)
      return 2
    }
    if (error instanceof UserError) {
      say(error.message)
      return 1
    }
    if (process.stopping.aborted) return 0
    say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return 1
  }
}

async function runNamed(name: string, rest: string[], process: Process): Promise<number> {
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (!load) {
    const near = closest(name, Object.keys(COMMANDS))
    throw new UsageError(
      `There is no command "${name}".${near ? ` Did you mean "${near}"?` : ''} outlay help lists them.`,
    )
  }
  const command = await load()
  const args = readArgs(command, rest)
  if (args.values['help'] === true) {
    process.stdout.write(`${usageOf(command)}\n${command.summary}\n`)
    return 0
  }
  return withContext(process, (context) => command.run(args, context))
}

function readArgs(command: Command, args: string[]) {
  try {
    const options = { ...command.options, help: { type: 'boolean' as const, short: 'h' } }
    const { positionals, values } = parseArgs({ args, options, allowPositionals: true })
    if (positionals.length > command.positionals_max) throw new Error('too many arguments')
    return { positionals, values: values as Record<string, string | boolean | undefined> }
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('. ')[0] : 'not valid'
    throw new UsageError(`${reason}\n${usageOf(command)}`)
  }
}

async function withContext(
  process: Process,
  work: (context: CommandContext) => Promise<number>,
): Promise<number> {
  const config = parseConfig(process.env, providerEnvs)
  const clock = config.now === undefined ? systemClock() : fixedClock(config.now)
  const log = createLog((line) => process.stderr.write(`${line}\n`))
  const { pid, hostname, isAlive, versions } = process
  const holder = { id: newId('own'), pid, hostname, isAlive, wallNow: clock.wallNow }
  const host = { clock, log, versions, holder }
  let app: Promise<App> | undefined
  try {
    return await work({
      process,
      config,
      host,
      print: (text) => process.stdout.write(`${text}\n`),
      openApp() {
        app ??= import('../app.ts').then(({ openApp }) => openApp(config, host))
        return app
      },
    })
  } finally {
    const opened = await app?.catch(() => undefined)
    await opened?.close()
  }
}

function usageOf({ name, usage }: Command): string {
  return `Usage: outlay ${name}${usage ? ` ${usage}` : ''}`
}

async function help({ stdout }: Process): Promise<number> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()))
  const lines = commands.map(
    ({ name, usage, summary }) => `  ${`${name} ${usage}`.trim()}\n      ${summary}`,
  )
  stdout.write(
    `Outlay ${VERSION}: know, explain and cap what your LLMs cost.\n\nWithout a command it speaks MCP over stdio.\n\n${lines.join('\n')}\n`,
  )
  return 0
}

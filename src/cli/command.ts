import type { ParseArgsOptionsConfig } from 'node:util'
import type { App, Host } from '../app.ts'
import type { Config } from '../config.ts'

/** What a command may know of the process. */
export type Process = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly pid: number
  readonly hostname: string
  readonly versions: Readonly<Record<string, string | undefined>>
  readonly exec_path: string
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Aborted by the first signal that asks the process to end. */
  readonly stopping: AbortSignal
  isAlive(pid: number): boolean
}

export type CommandContext = {
  readonly process: Process
  readonly config: Config
  readonly host: Host
  /** Opens the store; closed when the command ends. */
  openApp(): Promise<App>
  print(text: string): void
}

export type CommandArgs = {
  readonly positionals: readonly string[]
  readonly values: Readonly<Record<string, string | boolean | undefined>>
}

/** One command of the program; `run` gives the exit code, or throws a UserError for code 1. */
export type Command = {
  readonly name: string
  /** What follows the name in the usage line. */
  readonly usage: string
  readonly summary: string
  readonly options: ParseArgsOptionsConfig
  readonly positionals_max: number
  run(args: CommandArgs, context: CommandContext): Promise<number>
}

/** The command was used wrongly: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

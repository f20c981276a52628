import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const FOLDER = join(import.meta.dirname, '../../../shared/sim')

/** False, and said so once, where the simulators are not there. */
export const has_simulator = existsSync(join(FOLDER, 'admin-sim.mjs'))
if (!has_simulator) console.warn(`skipped: no simulator at ${FOLDER}`)

export type Mode = 'both' | 'legacy' | 'analytics'

export type Simulator = {
  readonly anthropic: string
  readonly openai: string
  readonly openrouter: string
  control(path: string, body: unknown): Promise<unknown>
  truth(from: string, to: string): Promise<Cell[]>
  log(): Promise<{ entries: LogEntry[] }>
  close(): void
}

export type Cell = {
  readonly provider: string
  readonly day: string
  readonly model: string | null
  readonly api_key: string | null
  readonly workspace?: string | null
  readonly project?: string | null
  readonly requests: number
  readonly tokens: Readonly<Record<TokenName, number>>
  readonly cost_nano: string
  readonly cost_by: Readonly<Record<string, string>>
}

type TokenName =
  | 'uncached_input'
  | 'cache_read'
  | 'cache_write_short'
  | 'cache_write_long'
  | 'output'

export type LogEntry = {
  readonly path: string
  readonly status: number | string
  readonly key: string | null
  readonly key_in_url: boolean
  readonly method: string
}

export async function startSimulator(options: {
  seed: number
  days: number
  mode: Mode
}): Promise<Simulator> {
  const args = ['--port', '0', '--seed', String(options.seed), '--days', String(options.days)]
  const child: ChildProcess = spawn(
    process.execPath,
    [join(FOLDER, 'admin-sim.mjs'), ...args, '--anthropic-mode', options.mode],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  if (!child.stdout) throw new Error('the simulator has no stdout')
  const [line] = await Array.fromAsync(firstLine(child.stdout))
  const { port, anthropic, openai, openrouter } = JSON.parse(line ?? '{}')
  const url = (path: string) => `http://127.0.0.1:${port}/__sim/${path}`
  const read = async (response: Response) => {
    if (!response.ok) throw new Error(`simulator: ${await response.text()}`)
    return response.json()
  }
  return {
    anthropic,
    openai,
    openrouter,
    control: async (path, body) =>
      read(await fetch(url(path), { method: 'POST', body: JSON.stringify(body) })),
    async truth(from, to) {
      const sheet = (await read(await fetch(url(`truth?from=${from}&to=${to}`)))) as {
        cells: Cell[]
      }
      return sheet.cells
    },
    log: async () => read(await fetch(url('log'))) as Promise<{ entries: LogEntry[] }>,
    close: () => child.kill('SIGTERM'),
  }
}

async function* firstLine(stream: NodeJS.ReadableStream) {
  for await (const line of createInterface({ input: stream })) {
    yield line
    return
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

const FOLDER = join(import.meta.dirname, '../../../shared/sim')

/** False, and said so once, where the simulators are not there. */
export const has_simulator = existsSync(join(FOLDER, 'admin-sim.mjs'))
if (!has_simulator) console.warn(`skipped: no simulator at ${FOLDER}`)

export type Mode = 'both' | 'legacy' | 'analytics'

export type Simulator = {
  readonly mode: Mode
  /** Where its clock stood at the start. */
  readonly now: number
  readonly first_day: number
  readonly port: number
  readonly anthropic: string
  readonly openai: string
  readonly openrouter: string
  control(path: string, body: unknown): Promise<unknown>
  truth(from: string, to: string): Promise<Cell[]>
  log(): Promise<{ entries: LogEntry[] }>
  /** Ends the process; resolves when it is gone. */
  close(): Promise<void>
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
  readonly fault: string | null
  readonly method: string
}

export const NOW = Date.parse('2026-11-20T15:30:00Z')
export const DAY_MS = 86_400_000

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a simulator that ends with the test, whatever becomes of it. */
export async function startSimulator(
  options: {
    seed: number
    days: number
    mode: Mode
    now?: number
    port?: number
  },
  onEnd: (close: () => Promise<void>) => void = onTestFinished,
): Promise<Simulator> {
  const { seed, days, mode, now = NOW, port: wanted = 0 } = options
  const args = ['--port', wanted, '--seed', seed, '--days', days, '--now', isoTime(now)]
  const child: ChildProcess = spawn(
    process.execPath,
    [join(FOLDER, 'admin-sim.mjs'), ...args.map(String), '--anthropic-mode', mode],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  running.add(child)
  child.once('exit', () => running.delete(child))
  const close = () => {
    child.kill('SIGTERM')
    return gone
  }
  onEnd(close)
  if (!child.stdout) throw new Error('the simulator has no stdout')
  const [line] = await Array.fromAsync(firstLine(child.stdout))
  const { port, anthropic, openai, openrouter } = JSON.parse(line ?? '{}')
  const url = (path: string) => `http://127.0.0.1:${port}/__sim/${path}`
  const read = async (response: Response) => {
    if (!response.ok) throw new Error(`simulator: ${await response.text()}`)
    return response.json()
  }
  return {
    mode,
    now,
    first_day: Math.floor(now / DAY_MS) * DAY_MS - days * DAY_MS,
    port,
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
    close,
  }
}

async function* firstLine(stream: NodeJS.ReadableStream) {
  for await (const line of createInterface({ input: stream })) {
    yield line
    return
  }
}

function isoTime(at: number): string {
  return new Date(at).toISOString().replace('.000Z', 'Z')
}

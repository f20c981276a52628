import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** One measured number. `target` and `is_at_most` make it a promise; without them it is shown only. */
export type Figure = {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly target?: number
  /** `at_most`: smaller is better; `at_least`: larger is. */
  readonly bound?: 'at_most' | 'at_least'
  /** What the value was measured against, or out of what it came. */
  readonly note?: string
}

/** `is_smoke`: tiny sizes that prove the bench runs; nobody judges the times. */
export type BenchOptions = { readonly is_smoke: boolean }

export type Bench = { run(options: BenchOptions): Promise<Figure[]> }

export const ROOT = join(import.meta.dirname, '../..')

/** The program as it is installed; where it was not built, its sources, which start slower and larger. */
export function findProgram(): { readonly path: string; readonly is_built: boolean } {
  const built = join(ROOT, 'dist/src/main.js')
  const is_built = existsSync(built)
  if (!is_built) console.warn('no dist/ (npm run build): the sources are measured instead')
  return { path: is_built ? built : join(ROOT, 'src/main.ts'), is_built }
}

export function isMissed({ value, target, bound }: Figure): boolean {
  if (target === undefined) return false
  return bound === 'at_least' ? value < target : value > target
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted[sorted.length >> 1]
  if (middle === undefined) throw new Error('no values to take the median of')
  return middle
}

/** Wall times of `runs` calls in milliseconds, after one that warms up. */
export async function timeRuns(runs: number, work: () => Promise<unknown>): Promise<number[]> {
  await work()
  const times: number[] = []
  for (let i = 0; i < runs; i++) {
    const start = performance.now()
    await work()
    times.push(performance.now() - start)
  }
  return times
}

/** A table for a terminal: what was measured, what was promised, and whether it holds. */
export function formatFigures(figures: readonly Figure[], { is_smoke }: BenchOptions): string {
  const rows = figures.map((figure) => {
    const { name, value, unit, target, bound, note } = figure
    const sign = bound === 'at_least' ? '≥' : '≤'
    return [
      name,
      `${round(value)} ${unit}`,
      target === undefined ? '' : `${sign} ${round(target)}`,
      target === undefined || target === 0 ? '' : (value / target).toFixed(2),
      target === undefined || is_smoke ? '' : isMissed(figure) ? 'MISS' : 'pass',
      note ?? '',
    ]
  })
  const table = [['figure', 'measured', 'target', 'of it', '', 'note'], ...rows]
  const widths = table[0]?.map((_, i) => Math.max(...table.map((row) => row[i]?.length ?? 0))) ?? []
  return table
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function round(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { maximumFractionDigits: digits })
}

/** Runs a script beside this file in a process of its own and gives the JSON of its last line. */
export async function runScript<Result>(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Result> {
  const child = spawn(process.execPath, [join(import.meta.dirname, name), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`${name} ended with ${code}`)
  const line = Buffer.concat(chunks).toString('utf8').trim().split('\n').at(-1)
  return JSON.parse(line ?? '') as Result
}

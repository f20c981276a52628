import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What a program says of a home folder. Input has cached and written tokens in it. */
export type Said = {
  readonly input: number
  readonly cached: number
  readonly written: number
  readonly output: number
  readonly cost_usd: number
}

export type Peer = {
  readonly name: string
  /** Package names with exact versions. */
  readonly packages: readonly string[]
  readonly version: string
  ask(folder: string, env: Record<string, string>): Promise<Said>
}

const BINARY = `${process.platform}-${process.arch}`
const EXEC = { timeout: 60_000, maxBuffer: 64 * 2 ** 20 }

/** Prices come from what each package carries: nothing is fetched. */
export const peers: readonly Peer[] = [
  {
    name: 'ccusage',
    version: '20.0.24',
    packages: ['ccusage@20.0.24', `@ccusage/ccusage-${BINARY}@20.0.24`],
    async ask(folder, env) {
      const args = ['daily', '--json', '--offline', '--since', '20250101', '--timezone', 'UTC']
      const { totals } = await askJson<CcusageReport>(folder, 'ccusage', args, env)
      const { inputTokens, cacheReadTokens, cacheCreationTokens, outputTokens, totalCost } = totals
      return {
        input: inputTokens + cacheReadTokens + cacheCreationTokens,
        cached: cacheReadTokens,
        written: cacheCreationTokens,
        output: outputTokens,
        cost_usd: totalCost,
      }
    },
  },
  {
    name: 'codeburn',
    version: '0.9.15',
    packages: ['codeburn@0.9.15'],
    async ask(folder, env) {
      const args = ['audit', '--format', 'json', '--period', 'all']
      const rows = await askJson<CodeburnRow[]>(folder, 'codeburn', args, env)
      return sum(
        rows.map(({ displayed, attributedCostUSD }) => ({
          input: displayed.inputTokens + displayed.cacheReadTokens + displayed.cacheWriteTokens,
          cached: displayed.cacheReadTokens,
          written: displayed.cacheWriteTokens,
          output: displayed.outputTokens,
          cost_usd: attributedCostUSD,
        })),
      )
    },
  },
  {
    name: 'tokscale',
    version: '4.17.0',
    packages: [`@tokscale/cli-${BINARY}${process.platform === 'linux' ? '-gnu' : ''}@4.17.0`],
    async ask(folder, env) {
      const bin = `../@tokscale/cli-${BINARY}${process.platform === 'linux' ? '-gnu' : ''}/bin/tokscale`
      const args = ['models', '--json', '--no-spinner', '--home', env['HOME'] ?? '']
      const { entries } = await askJson<TokscaleReport>(folder, bin, args, env)
      return sum(
        entries.map((row) => ({
          input: row.input + row.cacheRead + row.cacheWrite,
          cached: row.cacheRead,
          written: row.cacheWrite,
          output: row.output + row.reasoning,
          cost_usd: row.cost,
        })),
      )
    },
  },
]

type CcusageReport = {
  readonly totals: Readonly<
    Record<
      'inputTokens' | 'cacheReadTokens' | 'cacheCreationTokens' | 'outputTokens' | 'totalCost',
      number
    >
  >
}
type CodeburnRow = {
  readonly displayed: Readonly<
    Record<'inputTokens' | 'cacheReadTokens' | 'cacheWriteTokens' | 'outputTokens', number>
  >
  readonly attributedCostUSD: number
}
type TokscaleReport = {
  readonly entries: readonly Readonly<
    Record<'input' | 'cacheRead' | 'cacheWrite' | 'output' | 'reasoning' | 'cost', number>
  >[]
}

async function askJson<Answer>(
  folder: string,
  bin: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<Answer> {
  const path = join(folder, 'node_modules/.bin', bin)
  const { stdout } = await run(path, [...args], { ...EXEC, env })
  return JSON.parse(stdout) as Answer
}

function sum(rows: readonly Said[]): Said {
  return rows.reduce(
    (total, row) => ({
      input: total.input + row.input,
      cached: total.cached + row.cached,
      written: total.written + row.written,
      output: total.output + row.output,
      cost_usd: total.cost_usd + row.cost_usd,
    }),
    { input: 0, cached: 0, written: 0, output: 0, cost_usd: 0 },
  )
}

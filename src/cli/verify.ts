import { nanosFromUsd, usdFromNanos } from '../money.ts'
import { loadCatalog } from '../pricing/catalog.ts'
import type { Command } from './command.ts'
import { type CorpusCase, type Figures, loadCorpus } from './corpus.ts'
import { type Replay, replayCase } from './replay.ts'

export type Score = {
  readonly name: string
  readonly client: string
  readonly why: string
  readonly truth: Figures
  readonly ours: Figures
  /** Ours less the truth, in dollars. */
  readonly error_usd: string
  /** Every figure that is wrong, and what else went wrong; empty when all is exact. */
  readonly wrong: readonly string[]
}

export const verify: Command = {
  name: 'verify',
  usage: '[--json]',
  summary: 'Run the shipped accuracy corpus and print our error against the known truth',
  options: { json: { type: 'boolean' } },
  positionals_max: 0,
  async run({ values }, { print, host }) {
    const catalog = loadCatalog()
    const scores: Score[] = []
    for (const one of loadCorpus())
      scores.push(scoreCase(one, await replayCase(one, host, catalog)))
    if (values['json'] === true) print(JSON.stringify(scores, null, 2))
    else for (const line of scorecard(scores)) print(line)
    return scores.some(({ wrong }) => wrong.length > 0) ? 1 : 0
  },
}

export function scoreCase(
  { name, client, why, truth }: CorpusCase,
  { ours, problems }: Replay,
): Score {
  const figures = Object.keys(truth) as (keyof Figures)[]
  const wrong = figures
    .filter((figure) => truth[figure] !== null && ours[figure] !== truth[figure])
    .map((figure) => `${figure} ${ours[figure]}, truth ${truth[figure]}`)
  const error = nanosFromUsd(ours.cost_usd) - nanosFromUsd(truth.cost_usd)
  return {
    name,
    client,
    why,
    truth,
    ours,
    error_usd: usdFromNanos(error),
    wrong: [...problems, ...wrong],
  }
}

function scorecard(scores: readonly Score[]): string[] {
  const head = row([
    'case',
    'requests',
    'tokens, truth',
    'ours',
    'cost $, truth',
    'ours',
    'unpriced',
    'error',
  ])
  const failed = scores.filter(({ wrong }) => wrong.length > 0)
  const sum = scores.reduce((total, { error_usd }) => total + magnitude(error_usd), 0n)
  return [
    head,
    '-'.repeat(head.length),
    ...scores.flatMap((score) => [
      row([
        score.name,
        `${score.ours.requests}/${score.truth.requests ?? '?'}`,
        String(tokensOf(score.truth)),
        String(tokensOf(score.ours)),
        score.truth.cost_usd,
        score.ours.cost_usd,
        `${score.ours.unpriced_requests}/${score.truth.unpriced_requests}`,
        score.wrong.length === 0 ? 'exact' : score.error_usd,
      ]),
      ...score.wrong.map((wrong) => `    WRONG: ${wrong}`),
      ...(score.wrong.length > 0 ? [`    ${score.why}`] : []),
    ]),
    '',
    `${scores.length} cases, ${scores.length - failed.length} exact to the token and the nano-dollar, ${failed.length} wrong; errors add up to $${usdFromNanos(sum)}.`,
    'Truth is worked out by hand from published prices; an unpriced request costs an unknown amount, and is in no sum.',
  ]
}

const WIDTHS = [34, 9, 14, 10, 16, 14, 9, 14]

function row(cells: readonly string[]): string {
  return cells
    .map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[i] ?? 0) : cell.padStart(WIDTHS[i] ?? 0)))
    .join(' ')
}

function tokensOf({ input_tokens, output_tokens }: Figures): number {
  return input_tokens + output_tokens
}

function magnitude(usd: string): bigint {
  const nanos = nanosFromUsd(usd)
  return nanos < 0n ? -nanos : nanos
}

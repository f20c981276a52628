import * as z from 'zod'
import type { BudgetAnswer } from '../src/budgets/answer.ts'
import { formatUsd, nanosFromUsd } from '../src/money.ts'
import { Facts, LimitParam, Maybe, Texts } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

const Budget = z.object({}).catchall(z.union([Maybe, z.number(), z.array(z.number())]))
const Afford = z
  .object({ cheaper: z.array(Facts) })
  .catchall(z.union([Maybe, z.number(), z.array(z.string())]))

export default defineTool({
  name: 'check_budget',
  title: 'Check budget',
  effect: 'read',
  description:
    'Tells limit, spent, held, remaining and reset of budgets, and why one blocks. With model and tokens, or a session, it answers "can I afford this?" and names cheaper models.',
  input: {
    budget: z.string().optional().describe('Id or name; default all.'),
    model: z.string().optional(),
    input_tokens: z.number().optional(),
    output_tokens: z.number().optional(),
    session: z.string().optional(),
    wrapped_key: z.string().optional().describe('Id or name.'),
    user: z.string().optional(),
    tags: Texts.optional(),
    limit: LimitParam,
  },
  output: {
    budgets: z.array(Budget),
    afford: Afford.optional(),
    notes: z.array(z.string()),
    as_of: z.string(),
    has_more: z.boolean(),
  },
  async handle(args, { app }) {
    const { answerBudgets } = await import('../src/budgets/answer.ts')
    const answer = await answerBudgets(app, args)
    return {
      ...answer,
      budgets: answer.budgets as unknown as z.output<typeof Budget>[],
      afford: (answer.afford ?? undefined) as unknown as z.output<typeof Afford> | undefined,
      notes: [...answer.notes],
    }
  },
  text: (answer) => formatAnswer(answer as unknown as BudgetAnswer),
})

function formatAnswer({ budgets, afford, notes }: BudgetAnswer): string {
  const lines = budgets.map(formatBudget)
  if (afford) lines.unshift(formatAfford(afford))
  return [...lines, ...notes.map((note) => `Note: ${note}`)].join('\n')
}

function formatAfford(afford: NonNullable<BudgetAnswer['afford']>): string {
  const { verdict, model, expected_usd, high_usd, basis, requests_left, cheaper, reason } = afford
  const cost = expected_usd === null ? 'at an unknown price' : `about ${formatUsd(expected_usd)}`
  const high =
    high_usd === null || high_usd === expected_usd ? '' : ` (up to ${formatUsd(high_usd)})`
  const left =
    requests_left === null || requests_left === 0 ? '' : ` ${requests_left} more like it fit.`
  const less = cheaper.map(
    (one) => `${one.model} ${formatUsd(one.expected_usd)} (-${one.saving_percent} %)`,
  )
  return `${VERDICT[verdict]}: one request to ${model} costs ${cost}${high}, by ${basis}. ${reason}${left}${less.length > 0 ? ` Cheaper: ${less.join(', ')}.` : ''}`
}

const VERDICT = { yes: 'Yes', no: 'No', unknown: 'Not known' } as const

function formatBudget(budget: BudgetAnswer['budgets'][number]): string {
  const { name, member, key_name, state, action, spent_usd, held_usd, limit_usd, remaining_usd } =
    budget
  const held = nanosFromUsd(held_usd) > 0n ? ` and ${formatUsd(held_usd)} held` : ''
  const reset = budget.resets_at === null ? '' : `, resets ${budget.resets_at.slice(0, 16)}Z`
  const unsure = budget.uncertain_usd ? `; ${formatUsd(budget.uncertain_usd)} of it uncertain` : ''
  const out = budget.runs_out_at ? `; at this rate used up ${budget.runs_out_at.slice(0, 16)}Z` : ''
  const passed =
    budget.passed_percent !== undefined && budget.passed_at !== undefined
      ? `; passed ${budget.passed_percent} % at ${budget.passed_at.slice(0, 16)}Z`
      : ''
  const whose = member && ` (${key_name ?? member})`
  return `- ${name}${whose || ''}: ${formatUsd(spent_usd)} spent${held} of ${formatUsd(limit_usd)} (${budget.used_percent} %), ${formatUsd(remaining_usd)} left${reset}${unsure}${out}${passed}${formatMirror(budget)}.${STATE[state]}${action === 'block' ? ' Blocks.' : ' Only tells.'}`
}

function formatMirror(budget: BudgetAnswer['budgets'][number]): string {
  const { provider_limit_usd: own, provider_limit_drift_usd: drift } = budget
  if (own === undefined) return ''
  if (own === null || !drift) return "; the provider's own limit is gone"
  const was = nanosFromUsd(own) - nanosFromUsd(drift)
  const same = nanosFromUsd(drift) === 0n ? '' : `, and ${formatUsd(was)} was set`
  return `; the provider's own limit is ${formatUsd(own)} a month${same}`
}

const STATE = { ok: '', near: ' Near its limit.', exhausted: ' Used up.' } as const

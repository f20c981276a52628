import { answerBudgets, type BudgetAnswer } from '../budgets/answer.ts'
import { type BudgetRequest, dropBudget, setBudget } from '../budgets/request.ts'
import { UserError } from '../errors.ts'
import { mirrorAs } from '../jobs/mirror.ts'
import { formatUsd, nanosFromUsd } from '../money.ts'
import { type Command, type CommandArgs, type CommandContext, UsageError } from './command.ts'

const USAGE =
  'list | create [--mirror] | change <budget> [--no-mirror] | remove <budget> --yes | check [<budget>]'
const SHOWN_MAX = 5_000

export const budgets: Command = {
  name: 'budgets',
  usage: USAGE,
  summary: 'Limits on what may be spent; blocking ones bind the proxy from the next request on',
  options: {
    name: { type: 'string' },
    scope: { type: 'string' },
    'scope-value': { type: 'string' },
    period: { type: 'string' },
    limit: { type: 'string' },
    action: { type: 'string' },
    thresholds: { type: 'string' },
    timezone: { type: 'string' },
    'week-start': { type: 'string' },
    model: { type: 'string' },
    'input-tokens': { type: 'string' },
    'output-tokens': { type: 'string' },
    session: { type: 'string' },
    key: { type: 'string' },
    mirror: { type: 'boolean' },
    'no-mirror': { type: 'boolean' },
    yes: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  positionals_max: 2,
  async run(args, context) {
    const [action, subject] = args.positionals
    if (action === 'list') return check(undefined, args, context)
    if (action === 'check') return check(subject, args, context)
    if (action === 'create' && subject === undefined) return set(undefined, args, context)
    if (action === 'change' && subject) return set(subject, args, context)
    if (action === 'remove' && subject) return remove(subject, args, context)
    throw new UsageError(`Usage: outlay budgets ${USAGE}`)
  },
}

async function set(
  budget: string | undefined,
  { values }: CommandArgs,
  { print, openApp }: CommandContext,
): Promise<number> {
  const text = (name: string) => values[name] as string | undefined
  const request: BudgetRequest = {
    budget,
    name: text('name'),
    scope: text('scope'),
    scope_value: text('scope-value'),
    period: text('period'),
    limit_usd: text('limit'),
    action: text('action'),
    timezone: text('timezone'),
    week_start: numberOf(values, 'week-start'),
    thresholds: text('thresholds')?.split(',').map(Number),
  }
  const app = await openApp()
  const outcome = await setBudget(app, request, 'cli')
  const { state, budget: made } = outcome
  const mirror = values['mirror'] === true ? true : values['no-mirror'] === true ? false : undefined
  const mirrored = await mirrorAs(app, { state, id: made.id, mirror, actor: 'cli' })
  if (values['json'] === true) print(JSON.stringify({ ...outcome, mirrored }, null, 2))
  else print([outcome.effect, mirrored, `Id ${made.id}`].filter(Boolean).join('\n'))
  return 0
}

async function remove(
  budget: string,
  { values }: CommandArgs,
  { print, openApp }: CommandContext,
): Promise<number> {
  if (values['yes'] !== true)
    throw new UserError(
      `Removing a budget ends what it stops. To do it: outlay budgets remove ${budget} --yes`,
    )
  const outcome = await dropBudget(await openApp(), budget, 'cli')
  print(values['json'] === true ? JSON.stringify(outcome, null, 2) : outcome.effect)
  return 0
}

async function check(
  budget: string | undefined,
  { values }: CommandArgs,
  { print, openApp }: CommandContext,
): Promise<number> {
  const text = (name: string) => values[name] as string | undefined
  const answer = await answerBudgets(await openApp(), {
    budget,
    model: text('model'),
    input_tokens: numberOf(values, 'input-tokens'),
    output_tokens: numberOf(values, 'output-tokens'),
    session: text('session'),
    wrapped_key: text('key'),
    limit: SHOWN_MAX,
  })
  if (values['json'] === true) print(JSON.stringify(answer, null, 2))
  else for (const line of linesOf(answer)) print(line)
  return 0
}

function linesOf({ budgets: all, afford, notes }: BudgetAnswer): string[] {
  const lines = all.map((one) => {
    const member = one.member ? ` (${one.key_name ?? one.member})` : ''
    const held = nanosFromUsd(one.held_usd) > 0n ? ` + ${formatUsd(one.held_usd)} held` : ''
    const value = one.member === undefined ? (one.key_name ?? one.scope_value) : one.scope_value
    const scope = `${one.scope} ${value}`.trim()
    return `${one.id}  ${one.name}${member}  ${scope}, ${one.period}, ${one.action}  ${formatUsd(one.spent_usd)}${held} of ${formatUsd(one.limit_usd)}  ${one.used_percent} %${one.resets_at ? `  resets ${one.resets_at}` : ''}`
  })
  const cheaper = afford?.cheaper.map(
    ({ model, expected_usd }) => `${model} ${formatUsd(expected_usd)}`,
  )
  const verdict = afford
    ? [
        `${afford.verdict}: ${afford.model} ${afford.expected_usd ?? 'unpriced'} USD. ${afford.reason}`,
        ...(cheaper?.length ? [`Cheaper: ${cheaper.join(', ')}`] : []),
      ]
    : []
  return [...verdict, ...lines, ...notes]
}

function numberOf(values: CommandArgs['values'], name: string): number | undefined {
  const text = values[name]
  if (typeof text !== 'string') return undefined
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0)
    throw new UserError(`--${name} must be a whole number.`)
  return number
}

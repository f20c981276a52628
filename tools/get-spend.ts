import * as z from 'zod'
import { rankByDistance } from '../src/closest.ts'
import { UserError } from '../src/errors.ts'
import type { SpendAnswer, SpendRow } from '../src/ledger/spend-answer.ts'
import { GROUPS, type GroupBy } from '../src/ledger/spend-query.ts'
import { formatUsd } from '../src/money.ts'
import { FromParam, LimitParam, oneOf, PeriodParam, ToParam, Usd } from '../src/params.ts'
import { resolvePeriod } from '../src/period.ts'
import { defineTool } from '../src/tool.ts'

const TIMES: readonly string[] = ['day', 'hour', 'week', 'month']
const FILTERS = GROUPS.filter((group) => !TIMES.includes(group))

const Group = z.string().refine(isGroup, {
  error: ({ input }) =>
    `must be one of ${GROUPS.join(', ')} or tag:<key>${hint(String(input), GROUPS)}`,
})
const Values = z.union([z.string(), z.array(z.string()).min(1).max(50)])

/** Without bounds, which would be most of the schema's text. */
const Count = z.number()
/** The description also keeps the two apart in the schema: some clients know no list of types. */
const Figure = z.union([z.string().describe('name, id or cost'), Count])
const Total = z.object({
  cost_usd: Usd,
  requests: Count.optional(),
  input_tokens: Count,
  cached_input_tokens: Count,
  cache_write_tokens: Count,
  output_tokens: Count,
  unpriced_requests: Count,
})

export default defineTool({
  name: 'get_spend',
  title: 'Get spend',
  effect: 'read',
  description:
    'Sums LLM cost and tokens of a period, broken out and compared as asked: "what did we spend last week, on what?". input_tokens include cached and cache-write tokens. For prices use get_price; for freshness and problems get_status.',
  input: {
    period: PeriodParam,
    from: FromParam,
    to: ToParam,
    group_by: z
      .array(Group)
      .max(2)
      .default([])
      .describe(`Up to two of ${GROUPS.join(' ')} tag:<key>`),
    filter: z
      .record(z.string(), Values)
      .default({})
      .describe('Ids or names, e.g. {"provider":"openai","provider_key":["ci","web"]}'),
    compare: z.boolean().default(false).describe('With the previous period.'),
    basis: oneOf(['best', 'billed', 'metered'])
      .default('best')
      .describe('best: as billed where complete, else usage at list price.'),
    limit: LimitParam,
  },
  output: {
    period: z.object({}).catchall(z.string()),
    total: Total,
    rows: z.array(z.object({}).catchall(Figure)),
    basis: z.enum(['billed', 'metered', 'mixed', 'none']),
    billed_usd: Usd,
    metered_usd: Usd,
    subscription_list_value_usd: Usd.optional(),
    superseded_usd: Usd.optional(),
    previous: z
      .object({
        from: z.string(),
        to: z.string(),
        cost_usd: Usd,
        change_percent: z.number().optional(),
      })
      .optional(),
    complete_through: z.string().optional(),
    coverage: z.array(z.object({}).catchall(z.string())),
    notes: z.array(z.string()),
    as_of: z.string(),
    has_more: z.boolean(),
  },
  async handle(args, { app }) {
    const { answerSpend } = await import('../src/ledger/spend-answer.ts')
    const now = app.clock.now()
    const answer = await answerSpend(app.db, {
      period: resolvePeriod(args, now, app.config.timezone),
      group_by: args.group_by as GroupBy[],
      filter: parseFilter(args.filter),
      basis: args.basis,
      compare: args.compare,
      limit: args.limit,
      now,
    })
    return answer
  },
  text: formatSpend,
})

function isGroup(text: string): boolean {
  return (GROUPS as readonly string[]).includes(text) || /^tag:[\w.-]{1,64}$/.test(text)
}

function hint(text: string, known: readonly string[]): string {
  const [near] = rankByDistance(text, known, 1)
  return near ? ` (closest: ${near})` : ''
}

function parseFilter(filter: Record<string, string | string[]>): Record<string, string[]> {
  const unknown = Object.keys(filter).find((name) => TIMES.includes(name) || !isGroup(name))
  if (unknown !== undefined)
    throw new UserError(
      `filter: "${unknown}" is not a dimension to filter by; use ${FILTERS.join(', ')} or tag:<key>${hint(unknown, FILTERS)}. Times are given by period or from/to.`,
    )
  return Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, [value].flat()]))
}

/** A few lines that say it all: the total, what it is, the rows, what to know. */
function formatSpend(answer: SpendAnswer): string {
  const { period, total, rows, basis, previous, complete_through, notes } = answer
  const requests = total.requests === undefined ? '' : `${count(total.requests)} requests, `
  const lines = [
    `${formatUsd(total.cost_usd)} from ${period.from} to ${period.to} (end excluded), ${BASIS[basis]}; ${requests}${count(total.input_tokens)} input and ${count(total.output_tokens)} output tokens.`,
  ]
  if (previous)
    lines.push(
      `Before (${previous.from} to ${previous.to}): ${formatUsd(previous.cost_usd)}${previous.change_percent === undefined ? '' : change(previous.change_percent)}.`,
    )
  for (const row of rows) lines.push(`- ${formatRow(row, previous !== undefined)}`)
  if (complete_through) lines.push(`Complete through ${complete_through.slice(0, 16)}Z.`)
  return [...lines, ...notes.map((note) => `Note: ${note}`)].join('\n')
}

const BASIS: Readonly<Record<string, string>> = {
  billed: 'as billed',
  metered: 'usage at list price',
  mixed: 'partly as billed, partly usage at list price',
  none: 'no source',
}

function formatRow(row: SpendRow, is_compared: boolean): string {
  const names = GROUPS.filter((group) => group in row).map((group) => row[group])
  const tags = Object.keys(row).filter((name) => name.startsWith('tag:') && !name.endsWith('_id'))
  const label = [...names, ...tags.map((name) => row[name])].join(' / ')
  const { cost_usd, share_percent, change_percent } = row
  const share = share_percent === undefined ? '' : `, ${share_percent} %`
  const has_time = TIMES.some((time) => time in row)
  const moved = is_compared && !has_time ? change(change_percent as number | undefined) : ''
  return `${label}: ${formatUsd(String(cost_usd))}${share}${moved}`
}

function change(percent: number | undefined): string {
  if (percent === undefined) return ', new'
  return `, ${percent > 0 ? '+' : ''}${percent} %`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

import * as z from 'zod'
import type { Session } from '../src/ledger/sessions.ts'
import { formatUsd } from '../src/money.ts'
import { FromParam, LimitParam, PeriodParam, ToParam, Usd } from '../src/params.ts'
import { resolvePeriod } from '../src/period.ts'
import { defineTool } from '../src/tool.ts'

const Count = z.number().int()

const SessionRow = z.object({
  session: z.string(),
  client: z.string(),
  user: z.string().optional(),
  project: z.string().optional(),
  tags: z.record(z.string(), z.string()).optional(),
  models: z.array(z.string()),
  started_at: z.string(),
  ended_at: z.string(),
  cost_usd: Usd,
  subscription_list_value_usd: Usd.optional(),
  requests: Count.optional(),
  uncached_input_tokens: Count,
  cached_input_tokens: Count,
  cache_write_tokens: Count,
  output_tokens: Count,
  unpriced_requests: Count,
  lines_added: Count.optional(),
  lines_removed: Count.optional(),
  commits: Count.optional(),
  pull_requests: Count.optional(),
})

export default defineTool({
  name: 'list_sessions',
  title: 'List sessions',
  effect: 'read',
  description:
    'Lists the costliest sessions of coding assistants and instrumented programs in a period: client, user, project, models, tokens, cost, and the lines, commits and pull requests they report. For totals use get_spend.',
  input: {
    period: PeriodParam,
    from: FromParam,
    to: ToParam,
    client: z.string().optional().describe('Only this one, e.g. claude-code.'),
    limit: LimitParam,
  },
  output: {
    period: z.object({ name: z.string(), from: z.string(), to: z.string(), timezone: z.string() }),
    sessions: z.array(SessionRow),
    session_count: Count,
    basis: z.enum(['metered']),
    notes: z.array(z.string()),
    as_of: z.string(),
    has_more: z.boolean(),
  },
  async handle({ client, limit, ...range }, { app }) {
    const { answerSessions } = await import('../src/ledger/sessions-answer.ts')
    const now = app.clock.now()
    const period = resolvePeriod(range, now, app.config.timezone)
    const answer = await answerSessions(app.db, { period, client, limit, now })
    return { ...answer, sessions: [...answer.sessions.map(toMutable)], notes: [...answer.notes] }
  },
  text: ({ period, sessions, session_count, notes }) =>
    [
      `${plural(session_count, 'session')} from ${period.from} to ${period.to} (end excluded), at list price${sessions.length > 0 ? '; the costliest' : ''}:`,
      ...(sessions as Session[]).map(formatSession),
      ...notes.map((note) => `Note: ${note}`),
    ].join('\n'),
})

function toMutable({ models, tags, ...session }: Session) {
  return { ...session, models: [...models], ...(tags ? { tags: { ...tags } } : {}) }
}

function formatSession(session: Session): string {
  const { client, user, project, models, requests, started_at, subscription_list_value_usd } =
    session
  const input =
    session.uncached_input_tokens + session.cached_input_tokens + session.cache_write_tokens
  const parts = [
    formatUsd(session.cost_usd),
    subscription_list_value_usd &&
      `${formatUsd(subscription_list_value_usd)} of seats at list value`,
    requests !== undefined && plural(requests, 'request'),
    `${count(input)} input and ${count(session.output_tokens)} output tokens`,
    models.join(', '),
    user && `by ${user}`,
    project && `in ${project}`,
    session.lines_added !== undefined &&
      `${count(session.lines_added)} lines added, ${count(session.lines_removed ?? 0)} removed`,
    session.commits && plural(session.commits, 'commit'),
    session.pull_requests && plural(session.pull_requests, 'pull request'),
    session.unpriced_requests > 0 && `${count(session.unpriced_requests)} unpriced`,
  ]
  return `- ${client} ${session.session} (${started_at.slice(0, 16)}Z): ${parts.filter(Boolean).join('; ')}`
}

function plural(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? '' : 's'}`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

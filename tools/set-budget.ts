import * as z from 'zod'
import { SCOPES } from '../src/budgets/scope.ts'
import { formatUsd } from '../src/money.ts'
import { oneOf, Usd } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

export default defineTool({
  name: 'set_budget',
  title: 'Set budget',
  effect: 'delete',
  open_world: true,
  description:
    'Creates a budget, or changes or removes the one named in budget. block stops proxied requests before they exceed it; notify only tells. Removing takes two calls.',
  input: {
    budget: z.string().optional().describe('Id or name.'),
    name: z.string().optional(),
    scope: oneOf(SCOPES).optional(),
    scope_value: z
      .string()
      .optional()
      .describe('Name or pattern: claude-*, team=search; * gives each its own limit.'),
    period: z.string().optional().describe('day week month lifetime rolling_<n>h'),
    limit_usd: z.coerce.string().optional(),
    action: oneOf(['notify', 'block']).optional(),
    thresholds: z.array(z.number()).optional().describe('Percents; default 50 80 100.'),
    timezone: z.string().optional(),
    week_start: z.number().optional().describe('1 is Monday.'),
    mirror: z
      .boolean()
      .optional()
      .describe("Also set, or with false remove, the provider's own monthly limit."),
    remove: z.boolean().optional(),
    plan_id: z.string().optional().describe('From the first call.'),
  },
  output: {
    state: z.enum(['created', 'changed', 'removed', 'planned']),
    effect: z.string(),
    plan_id: z.string().optional(),
    id: z.string(),
    name: z.string(),
    limit_usd: Usd,
    spent_usd: Usd,
    remaining_usd: Usd,
  },
  async handle({ mirror, ...args }, { app, actor }) {
    const { setBudget } = await import('../src/budgets/request.ts')
    const { state, effect: done, plan_id, budget } = await setBudget(app, args, actor)
    const { mirrorAs } = await import('../src/jobs/mirror.ts')
    const mirrored = await mirrorAs(app, { state, id: budget.id, mirror, actor })
    const effect = [done, mirrored].filter(Boolean).join(' ')
    const { id, name, limit_usd, spent_usd, remaining_usd } = budget
    const plan = plan_id === null ? {} : { plan_id }
    return { state, effect, ...plan, id, name, limit_usd, spent_usd, remaining_usd }
  },
  text: ({ effect, plan_id, id, spent_usd, limit_usd }) =>
    plan_id === undefined
      ? `${effect} Id ${id}; spent in its window so far: ${formatUsd(spent_usd)} of ${formatUsd(limit_usd)}.`
      : `${effect} plan_id: ${plan_id}`,
})

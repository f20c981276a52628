import * as z from 'zod'
import { SCOPES } from '../src/budgets/scope.ts'
import { oneOf, Usd } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

export default defineTool({
  name: 'set_budget',
  title: 'Set budget',
  effect: 'delete',
  description:
    'Creates a budget, or changes or removes the one named in budget. block stops proxied requests before they exceed it; notify only tells. Removing takes two calls.',
  input: {
    budget: z.string().optional().describe('Id or name.'),
    name: z.string().max(80).optional(),
    scope: oneOf(SCOPES).optional(),
    scope_value: z
      .string()
      .max(200)
      .optional()
      .describe('Name or pattern: claude-*, team=search; * gives each its own limit.'),
    period: z.string().optional().describe('day week month lifetime rolling_<n>h'),
    limit_usd: z.coerce.string().optional(),
    action: oneOf(['notify', 'block']).optional(),
    thresholds: z.array(z.number()).optional().describe('Percents; default 50 80 100.'),
    timezone: z.string().optional(),
    week_start: z.number().int().min(1).max(7).optional().describe('1 is Monday.'),
    remove: z.boolean().optional(),
    plan_id: z.string().optional().describe('From the first call.'),
  },
  output: {
    state: z.enum(['created', 'changed', 'removed', 'planned']),
    effect: z.string(),
    plan_id: z.string().nullable(),
    budget: z.object({
      id: z.string(),
      name: z.string(),
      limit_usd: Usd,
      spent_usd: Usd,
      remaining_usd: Usd,
    }),
  },
  async handle(args, { app, actor }) {
    const { setBudget } = await import('../src/budgets/request.ts')
    const { state, effect, plan_id, budget } = await setBudget(app, args, actor)
    const { id, name, limit_usd, spent_usd, remaining_usd } = budget
    return { state, effect, plan_id, budget: { id, name, limit_usd, spent_usd, remaining_usd } }
  },
  text: ({ state, effect, plan_id, budget }) =>
    `${effect} ${state === 'planned' ? `plan_id: ${plan_id}` : `Id ${budget.id}; spent in its window so far: $${budget.spent_usd} of $${budget.limit_usd}.`}`,
})

import { defineResource } from '../src/resource.ts'

export default defineResource({
  name: 'budget',
  title: 'Budget',
  description: 'One budget by id or name; changes are announced to subscribers.',
  uri: 'outlay://budgets/{id}',
  mime_type: 'application/json',
  values: [],
  async read(budget, app) {
    const { answerBudgets } = await import('../src/budgets/answer.ts')
    return JSON.stringify(await answerBudgets(app, { budget, limit: 1 }), null, 2)
  },
})

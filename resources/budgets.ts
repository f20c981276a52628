import { defineResource } from '../src/resource.ts'

export default defineResource({
  name: 'budgets',
  title: 'Budgets',
  description: 'Every budget with its limit, spend, holds and reset; as check_budget.',
  uri: 'outlay://budgets',
  mime_type: 'application/json',
  async read(_, app) {
    const { answerBudgets } = await import('../src/budgets/answer.ts')
    return JSON.stringify(await answerBudgets(app, { limit: 100 }), null, 2)
  },
})

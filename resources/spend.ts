import { UserError } from '../src/errors.ts'
import { PERIODS, type PeriodName, resolvePeriod } from '../src/period.ts'
import { defineResource } from '../src/resource.ts'

export default defineResource({
  name: 'spend',
  title: 'Spend',
  description: 'Cost of a period by model, compared with the one before; as get_spend.',
  uri: 'outlay://spend/{period}',
  mime_type: 'application/json',
  values: PERIODS,
  async read(period, app) {
    if (!isPeriod(period))
      throw new UserError(`No period "${period}". Known: ${PERIODS.join(', ')}.`)
    const { answerSpend } = await import('../src/ledger/spend-answer.ts')
    const now = app.clock.now()
    const answer = await answerSpend(app.db, {
      period: resolvePeriod({ period }, now, app.config.timezone),
      group_by: ['provider', 'model'],
      filter: {},
      basis: 'best',
      compare: true,
      limit: 100,
      now,
    })
    return JSON.stringify(answer, null, 2)
  },
})

function isPeriod(text: string): text is PeriodName {
  return (PERIODS as readonly string[]).includes(text)
}

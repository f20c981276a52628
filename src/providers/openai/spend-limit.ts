import type { SpendLimitApi } from '../spend-limit.ts'
import { countAt } from '../wire.ts'

/** https://developers.openai.com/api/docs/guides/spend-limits */
export const openaiSpendLimit: SpendLimitApi = {
  workspace_word: 'project',
  needs: 'The key must be an admin key of an owner, with the right to set spend limits.',
  async read(send, project) {
    const limit = await send({ method: 'GET', path: pathOf(project) })
    return limit === null ? null : countAt(limit, 'threshold_amount')
  },
  async write(send, project, cents) {
    const body = { currency: 'USD', interval: 'month', threshold_amount: cents }
    await send({ method: 'POST', path: pathOf(project), body })
  },
  async remove(send, project) {
    await send({ method: 'DELETE', path: pathOf(project) })
  },
}

function pathOf(project: string | null): string {
  return project === null
    ? '/organization/spend_limit'
    : `/organization/projects/${encodeURIComponent(project)}/spend_limit`
}

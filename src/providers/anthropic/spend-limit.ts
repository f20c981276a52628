import { UserError } from '../../errors.ts'
import type { Send, SpendLimitApi } from '../spend-limit.ts'
import { listAt, textAt } from '../wire.ts'

const PATH = '/v1/organizations/spend_limits'
const READ_BETA = { 'anthropic-beta': 'spend-limit-reads-2026-09-26' }
const PAGES_MAX = 20

/** https://platform.claude.com/docs/en/api/beta/organization/spend_limits/set */
export const anthropicSpendLimit: SpendLimitApi = {
  workspace_word: 'workspace',
  needs:
    'Anthropic lets organisations of its early access set these limits by API; for others: console.anthropic.com, Settings, Limits.',
  async read(send, workspace) {
    const limit = await findLimit(send, workspace)
    return limit?.cents ?? null
  },
  async write(send, workspace, cents) {
    const scope =
      workspace === null ? { type: 'organization' } : { type: 'workspace', workspace_id: workspace }
    const body = { amount: String(cents), period: 'monthly', scope }
    const written = await send({ method: 'POST', path: `${PATH}?beta=true`, body })
    const currency = textAt(written, 'currency') ?? 'USD'
    if (currency !== 'USD')
      throw new UserError(
        `Anthropic bills this organisation in ${currency}, so that its limit is not the budget's. Set it by hand.`,
      )
  },
  async remove(send, workspace) {
    const limit = await findLimit(send, workspace)
    if (limit) await send({ method: 'DELETE', path: `${PATH}/${limit.id}?beta=true` })
  },
}

type Limit = { readonly id: string; readonly cents: number | null }

async function findLimit(send: Send, workspace: string | null): Promise<Limit | undefined> {
  let page = ''
  for (let i = 0; i < PAGES_MAX; i++) {
    const path = `${PATH}?beta=true${page === '' ? '' : `&page=${encodeURIComponent(page)}`}`
    const answer = await send({ method: 'GET', path, headers: READ_BETA })
    const found = listAt(answer, 'data').find(
      (one) =>
        textAt(one, 'period') === 'monthly' &&
        (workspace === null
          ? textAt(one, 'scope', 'type') === 'organization'
          : textAt(one, 'scope', 'workspace_id') === workspace),
    )
    if (found) return { id: textAt(found, 'id') ?? '', cents: centsOf(textAt(found, 'amount')) }
    page = textAt(answer, 'next_page') ?? ''
    if (page === '') return undefined
  }
  return undefined
}

function centsOf(amount: string | null): number | null {
  return amount !== null && /^\d{1,15}$/.test(amount) ? Number(amount) : null
}

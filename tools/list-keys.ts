import * as z from 'zod'
import type { KeyReport, KeysReport } from '../src/jobs/key-report.ts'
import { formatUsd } from '../src/money.ts'
import { Facts, LimitParam, Maybe, Texts } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

const Key = z
  .object({ tags: Texts, limits: Facts, budgets: z.array(Texts) })
  .catchall(z.union([Maybe, z.number(), z.array(z.string())]))

export default defineTool({
  name: 'list_keys',
  title: 'List keys',
  effect: 'read',
  description:
    'Lists wrapped keys: what each may do, its budgets, spend of 30 days and last use, with idle and over-wide ones flagged, and the provider keys behind them. Never a secret.',
  input: { with_revoked: z.boolean().default(false), limit: LimitParam },
  output: {
    keys: z.array(Key),
    provider_keys: z.array(Facts),
    as_of: z.string(),
    has_more: z.boolean(),
    left_out: z.number(),
  },
  async handle(args, { app }) {
    const { reportKeys } = await import('../src/jobs/key-report.ts')
    const report = await reportKeys(app, args)
    return {
      ...report,
      keys: report.keys as unknown as z.output<typeof Key>[],
      provider_keys: report.provider_keys.map((key) => ({ ...key })),
    }
  },
  text: (report) => formatKeys(report as unknown as KeysReport),
})

function formatKeys({ keys, provider_keys, left_out }: KeysReport): string {
  const lines = keys.map(formatKey)
  if (keys.length === 0) lines.push('No wrapped keys; create_wrapped_key makes one.')
  if (left_out > 0)
    lines.push(`${left_out} more were left out; raise limit up to 100, or: outlay keys list.`)
  const behind = provider_keys.map(({ provider, name, key }) => `${provider} "${name}" ${key}`)
  return [...lines, `Provider keys behind them: ${behind.join(', ') || 'none'}.`].join('\n')
}

function formatKey(key: KeyReport): string {
  const { name, id, state, providers, models, cost_usd_30d, requests_30d, flags } = key
  const opens = `${providers.join(', ')}${models.length > 0 ? ` (${models.join(', ')})` : ', every model'}`
  const budgets = key.budgets.map(
    (one) =>
      `${formatUsd(one.spent_usd)} of ${formatUsd(one.limit_usd)} a ${one.period} (${one.action})`,
  )
  const used = key.last_used_at ? `last used ${key.last_used_at.slice(0, 16)}Z` : 'never used'
  return `- ${name} (${id}): ${state}; opens ${opens}; 30 days ${formatUsd(cost_usd_30d)} in ${requests_30d} requests, ${used}${budgets.length > 0 ? `; budget ${budgets.join(', ')}` : ''}${flags.length > 0 ? `. Look at: ${flags.join('; ')}` : ''}`
}

import * as z from 'zod'
import { UserError } from '../src/errors.ts'
import { oneOf } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

export default defineTool({
  name: 'get_price',
  title: 'Get price',
  effect: 'read',
  description:
    'Tells the list price of a model at a date in USD per million tokens: all token classes, long-context tiers, batch, flex, priority and fast, with source. For money spent use get_spend.',
  input: {
    model: z.string().min(1).max(200),
    provider: z.string().optional(),
    at: z.string().optional().describe('Date; default today.'),
    service_tier: oneOf(['standard', 'batch', 'flex', 'priority', 'fast']).optional(),
  },
  output: {
    prices: z.array(z.record(z.string(), z.unknown())),
    at: z.string(),
    notes: z.array(z.string()),
  },
  async handle({ model, provider, at, service_tier }, { app }) {
    const { answerPrice } = await import('../src/pricing/answer.ts')
    const now = app.clock.now()
    const instant = at === undefined ? now : Date.parse(at)
    if (Number.isNaN(instant)) throw new UserError(`at: "${at}" must be a date like 2026-01-31.`)
    return answerPrice(await app.catalog(), { model, provider, at: instant, service_tier })
  },
  text: ({ prices, at, notes }) => [`At ${at}:`, ...prices.map(formatPrice), ...notes].join('\n'),
})

function formatPrice(price: Record<string, unknown>): string {
  const { provider, model, service_tier, usd_per_mtok, ...rest } = price
  const classes = Object.entries(usd_per_mtok as Record<string, unknown>)
    .map(([name, usd]) => `${name} $${usd}`)
    .join(', ')
  const details = Object.entries(rest)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('; ')
  return `- ${provider} ${model} (${service_tier}): ${classes} per million tokens${details ? `; ${details}` : ''}`
}

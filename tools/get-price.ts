import * as z from 'zod'
import { UserError } from '../src/errors.ts'
import { oneOf } from '../src/params.ts'
import type { PriceDescription } from '../src/pricing/describe.ts'
import { defineTool } from '../src/tool.ts'

const UsdByClass = z.object({}).catchall(z.string())

/** What is not listed is text: provider, model, service_tier, rule_id, source, … */
const Price = z
  .object({
    usd_per_mtok: UsdByClass,
    usd_per_unit: z
      .object({})
      .catchall(z.object({ usd: z.string(), per: z.number() }))
      .optional(),
    tiers: z.array(z.object({ above_tokens: z.number(), usd_per_mtok: UsdByClass })).optional(),
    prompt_tokens_max: z.number().optional(),
  })
  .catchall(z.string())

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
    prices: z.array(Price),
    at: z.string(),
    notes: z.array(z.string()),
  },
  async handle({ model, provider, at, service_tier }, { app }) {
    const { answerPrice } = await import('../src/pricing/answer.ts')
    const now = app.clock.now()
    const instant = at === undefined ? now : Date.parse(at)
    if (Number.isNaN(instant)) throw new UserError(`at: "${at}" must be a date like 2026-01-31.`)
    const question = { model, provider, at: instant, service_tier }
    const answer = answerPrice(await app.catalog(), question)
    return { ...answer, prices: answer.prices as unknown as z.output<typeof Price>[] }
  },
  text: ({ prices, at, notes }) =>
    [`At ${at}:`, ...(prices as unknown as PriceDescription[]).map(formatPrice), ...notes].join(
      '\n',
    ),
})

function formatPrice(price: PriceDescription): string {
  const { provider, model, service_tier, inference_geo, usd_per_mtok, usd_per_unit = {} } = price
  const place = inference_geo === undefined ? '' : `, in ${inference_geo}`
  const units = Object.entries(usd_per_unit).map(
    ([unit, { usd, per }]) => `${unit} $${usd} per ${per.toLocaleString('en-US')}`,
  )
  const parts = [
    `${formatClasses(usd_per_mtok)} per million tokens`,
    ...units,
    ...(price.tiers ?? []).map(
      (tier) =>
        `above ${tier.above_tokens.toLocaleString('en-US')} tokens (${MODES[price.tier_mode ?? 'whole_prompt']}): ${formatClasses(tier.usd_per_mtok)}`,
    ),
    price.prompt_tokens_max && `prompts up to ${price.prompt_tokens_max.toLocaleString('en-US')}`,
    price.utc_hours && `${price.utc_hours} UTC`,
    price.valid_from && `from ${price.valid_from}`,
    price.valid_to && `until ${price.valid_to}`,
    price.source,
  ]
  return `- ${provider} ${model} (${service_tier}${place}): ${parts.filter(Boolean).join('; ')}`
}

const MODES = {
  whole_prompt: 'then for the whole request',
  marginal: 'for those above',
} as const

function formatClasses(usd_per_mtok: Readonly<Record<string, string>>): string {
  return Object.entries(usd_per_mtok)
    .map(([name, usd]) => `${name} $${usd}`)
    .join(', ')
}

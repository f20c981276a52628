import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCatalog, loadCatalog, modelOf } from '../../src/pricing/catalog.ts'
import { type PriceQuery, priceUsage } from '../../src/pricing/price.ts'
import { NO_USAGE, TOKEN_CLASSES, type Usage } from '../../src/usage.ts'

const catalog = loadCatalog()
const AT = Date.parse('2026-11-24')

function query(provider: string, model: string, usage: Usage): PriceQuery {
  return {
    provider,
    model,
    at: AT,
    service_tier: null,
    speed: null,
    is_single_request: true,
    usage,
  }
}

const usages = fc
  .record(
    Object.fromEntries(TOKEN_CLASSES.map((name) => [name, fc.nat({ max: 10_000_000 })])) as Record<
      (typeof TOKEN_CLASSES)[number],
      fc.Arbitrary<number>
    >,
  )
  .map((tokens): Usage => ({ ...NO_USAGE, ...tokens }))

/** Models whose rules have no tiers, with the classes that they price. */
const flat = [...new Set(catalog.lines.values())].flatMap((line) => {
  const { provider, model, rules } = modelOf(catalog, line)
  const [rule] = rules
  const is_flat =
    rule &&
    rules.length === 1 &&
    Object.values(rule.prices).every(({ tiers }) => tiers.length === 0)
  return is_flat && rule.unpriced_reason === null && model ? [{ provider, model, rule }] : []
})

function only(usage: Usage, classes: Readonly<Record<string, unknown>>): Usage {
  return {
    ...NO_USAGE,
    ...Object.fromEntries(TOKEN_CLASSES.map((name) => [name, classes[name] ? usage[name] : 0])),
  }
}

function plus(a: Usage, b: Usage): Usage {
  return {
    ...NO_USAGE,
    ...Object.fromEntries(TOKEN_CLASSES.map((name) => [name, a[name] + b[name]])),
  }
}

test('without tiers, the price of a sum is the sum of the prices, up to the rounding of each', () => {
  fc.assert(
    fc.property(fc.constantFrom(...flat), usages, usages, ({ provider, model, rule }, a, b) => {
      const cost = (usage: Usage) => priceUsage(catalog, query(provider, model, usage)).cost_nanos
      const [x, y] = [only(a, rule.prices), only(b, rule.prices)]
      const difference = (cost(plus(x, y)) ?? -9n) - (cost(x) ?? -9n) - (cost(y) ?? -9n)
      expect(difference >= -1n && difference <= 1n).toBe(true)
    }),
  )
})

test('a price is never negative, and never a number where a class has none', () => {
  const models = [...new Set(catalog.lines.values())].map(({ data }) => data)
  fc.assert(
    fc.property(
      fc.constantFrom(...models),
      usages,
      fc.boolean(),
      (data, usage, is_single_request) => {
        const asked = { ...query(data.provider, data.model, usage), is_single_request }
        const { cost_nanos } = priceUsage(catalog, asked)
        expect(cost_nanos === null || cost_nanos >= 0n).toBe(true)
      },
    ),
  )
})

test('amounts beyond the exact range of numbers stay exact', () => {
  // 9,007,199,254,740,991×75,000
  const usage = { ...NO_USAGE, output_tokens: Number.MAX_SAFE_INTEGER }
  expect(priceUsage(catalog, query('anthropic', 'claude-opus-4-1', usage)).cost_nanos).toBe(
    675_539_944_105_574_325_000n,
  )
})

test('a sum over hours has no price while the price changes with the hour, and has one before', () => {
  const sum = (at: string) =>
    priceUsage(catalog, {
      ...query('deepseek', 'deepseek-v4-pro', { ...NO_USAGE, uncached_input_tokens: 1000 }),
      at: Date.parse(at),
      is_single_request: false,
    })
  expect(sum('2026-08-01').cost_nanos).toBe(435_000n)
  expect(sum('2026-09-01')).toMatchObject({
    reason: expect.stringContaining('depends on the hour'),
  })
})

test('a daily window may go over midnight', () => {
  const night = createCatalog({
    package: 'p',
    version: '1',
    licence: 'MIT',
    homepage: 'https://example.com',
    sources: {},
    models: [
      {
        provider: 'p',
        model: 'm',
        names: ['m'],
        rules: [
          { prices: { output_tokens: 2_000 } },
          { daily: ['22:00', '02:00'], prices: { output_tokens: 1_000 } },
        ],
      },
    ],
  })
  const cost = (time: string) =>
    priceUsage(night, {
      ...query('p', 'm', { ...NO_USAGE, output_tokens: 1 }),
      at: Date.parse(`2026-11-24T${time}Z`),
    }).cost_nanos
  expect([cost('21:59:59.999'), cost('22:00'), cost('01:59:59.999'), cost('02:00')]).toEqual([
    2n,
    1n,
    1n,
    2n,
  ])
})

test('a flood of unknown names does not fill the memory, and does not change an answer', () => {
  const fresh = loadCatalog()
  const usage = { ...NO_USAGE, uncached_input_tokens: 1 }
  for (let i = 0; i < 25_000; i++) priceUsage(fresh, query('anthropic', `model-${i}`, usage))
  expect(fresh.selections.size).toBeLessThanOrEqual(10_000)
  expect(priceUsage(fresh, query('anthropic', 'claude-opus-5', usage)).cost_nanos).toBe(5_000n)
})

test('a batch of short prompts is no long prompt', () => {
  const usage = { ...NO_USAGE, uncached_input_tokens: 400_000 }
  const price = (requests: number) =>
    priceUsage(catalog, query('openai', 'gpt-5.4', { ...usage, requests })).cost_nanos
  // 400,000 × $5 a million, and × $2.50.
  expect(price(1)).toBe(2_000_000_000n)
  expect(price(200)).toBe(1_000_000_000n)
})

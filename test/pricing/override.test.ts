import { expect, test } from 'vitest'
import { loadCatalog, parseOverrides } from '../../src/pricing/catalog.ts'
import { type PriceQuery, priceUsage } from '../../src/pricing/price.ts'
import { NO_USAGE, type Usage } from '../../src/usage.ts'

function price(overrides: unknown, options: Partial<PriceQuery>, usage: Partial<Usage>) {
  return priceUsage(loadCatalog(parseOverrides(overrides)), {
    provider: 'acme',
    model: 'm1',
    at: Date.parse('2026-11-01'),
    service_tier: null,
    speed: null,
    is_single_request: true,
    ...options,
    usage: { ...NO_USAGE, ...usage },
  })
}

const own = (fields: object) => [
  { provider: 'acme', model: 'm1', usd_per_mtok: { input: 1, output: 2 }, ...fields },
]
const opus = (fields: object) => [
  { provider: 'anthropic', model: 'claude-opus-5', usd_per_mtok: { input: '4.5' }, ...fields },
]
const OPUS = { provider: 'anthropic', model: 'claude-opus-5' }

test('an unknown model takes the price that the user gives it', () => {
  expect(price(own({}), {}, { uncached_input_tokens: 10, output_tokens: 10 })).toEqual({
    cost_nanos: 30_000n,
    rule_id: 'own/acme/m1@start',
  })
})

test('it wins over the list price for all names of the model and wherever inference runs', () => {
  const usage = { uncached_input_tokens: 10 }
  for (const model of ['claude-opus-5', 'claude-5-opus', 'CLAUDE-OPUS-5-20260724'])
    for (const inference_geo of [null, 'us', 'eu'])
      expect(price(opus({}), { ...OPUS, model, inference_geo }, usage)).toMatchObject({
        cost_nanos: 45_000n,
      })
})

test('it replaces the whole rule: a class without a price is unpriced', () => {
  expect(price(opus({}), OPUS, { output_tokens: 1 })).toMatchObject({
    cost_nanos: null,
    reason: expect.stringContaining('output_tokens'),
  })
})

test('it holds for its own tier alone', () => {
  const usage = { uncached_input_tokens: 10 }
  const batch = opus({ service_tier: 'batch', usd_per_mtok: { input: '1' } })
  expect(price(batch, OPUS, usage)).toMatchObject({ cost_nanos: 50_000n })
  expect(price(batch, { ...OPUS, service_tier: 'batch' }, usage)).toMatchObject({
    cost_nanos: 10_000n,
    rule_id: 'own/anthropic/claude-opus-5@start#batch',
  })
})

test('for OpenAI, fast and priority are one tier', () => {
  const gpt = [
    { provider: 'openai', model: 'gpt-5', service_tier: 'fast', usd_per_mtok: { input: 3 } },
  ]
  const query = { provider: 'openai', model: 'gpt-5', service_tier: 'priority' }
  expect(price(gpt, query, { uncached_input_tokens: 1 })).toMatchObject({ cost_nanos: 3_000n })
})

test('it holds from its date on, the later one over the earlier, in any order of the file', () => {
  const dated = [
    ...own({ valid_from: '2026-06-01', usd_per_mtok: { input: 3 } }),
    ...own({ valid_from: '2026-03-01T12:00:00Z', usd_per_mtok: { input: 2 } }),
    ...opus({ valid_from: '2026-06-01' }),
  ]
  const at = (text: string, query = {}) =>
    price(dated, { ...query, at: Date.parse(text) }, { uncached_input_tokens: 1 }).cost_nanos
  expect(at('2026-03-01T11:59:59.999Z')).toBeNull()
  expect(at('2026-03-01T12:00:00Z')).toBe(2_000n)
  expect(at('2026-05-31T23:59:59.999Z')).toBe(2_000n)
  expect(at('2026-06-01')).toBe(3_000n)
  expect(at('2026-05-31', OPUS)).toBe(5_000n)
  expect(at('2026-06-01', OPUS)).toBe(4_500n)
})

test('a price for a snapshot leaves the other names alone', () => {
  const snapshot = opus({ model: 'claude-opus-5-20260724' })
  const cost = (model: string) =>
    price(snapshot, { ...OPUS, model }, { uncached_input_tokens: 1 }).cost_nanos
  expect([cost('claude-opus-5-20260724'), cost('claude-opus-5')]).toEqual([4_500n, 5_000n])
})

test('halves of a nano-dollar are summed before they are rounded', () => {
  const fine = own({ usd_per_mtok: { input: '0.0005', output: '0.0005' } })
  expect(price(fine, {}, { uncached_input_tokens: 1 }).cost_nanos).toBe(0n)
  expect(price(fine, {}, { uncached_input_tokens: 1, output_tokens: 1 }).cost_nanos).toBe(1n)
  expect(price(fine, {}, { uncached_input_tokens: 3 }).cost_nanos).toBe(2n)
})

const tiered = (mode: string) =>
  own({
    long_context: { above_tokens: 100, mode, usd_per_mtok: { input: 10, output: 20 } },
  })

test.each([
  // 100×1,000 + 100×2,000
  ['whole_prompt', 100, 100, true, 300_000n],
  // 101×10,000 + 100×20,000: the prompt's size picks the price of the output too
  ['whole_prompt', 101, 100, true, 3_010_000n],
  // 101×1,000 + 100×2,000: a sum over requests of unknown size
  ['whole_prompt', 101, 100, false, 301_000n],
  // 100×1,000 + 1×10,000 + 100×2,000
  ['marginal', 101, 100, true, 310_000n],
  // 50×1,000 + 100×2,000 + 50×20,000
  ['marginal', 50, 150, true, 1_250_000n],
  // 500×1,000 + 150×2,000
  ['marginal', 500, 150, false, 800_000n],
] as const)(
  '%s tier: %d in, %d out, single request %s',
  (mode, input, output, is_single_request, nanos) => {
    const usage = { uncached_input_tokens: input, output_tokens: output }
    expect(price(tiered(mode), { is_single_request }, usage).cost_nanos).toBe(nanos)
  },
)

test('units are priced one by one, exactly', () => {
  const units = own({ usd_per_unit: { web_search: 0.01, character: '0.000015' } })
  expect(price(units, {}, { unit: 'web_search', units: 3 }).cost_nanos).toBe(30_000_000n)
  expect(price(units, {}, { unit: 'character', units: 7 }).cost_nanos).toBe(105_000n)
  expect(price(units, {}, { unit: 'image', units: 1 })).toMatchObject({ cost_nanos: null })
})

test.each([
  [own({ usd_per_mtok: { inputs: 1 } }), /^0\.usd_per_mtok/],
  [own({ price: 1 }), /price/],
  [own({ usd_per_mtok: { input: -1 } }), /^0\.usd_per_mtok\.input: must not be negative/],
  [own({ usd_per_mtok: { input: 'a lot' } }), /must be an amount in USD/],
  [own({ usd_per_mtok: { input: '0.0000001' } }), /at most 6 decimal places/],
  [own({ usd_per_mtok: { input: 2e6 } }), /must be at most 1000000/],
  [own({ usd_per_mtok: { input: null } }), /^0\.usd_per_mtok\.input/],
  [own({ service_tier: 'turbo' }), /^0\.service_tier/],
  [own({ valid_from: 'soon' }), /^0\.valid_from/],
  [own({ usd_per_unit: { hugs: 1 } }), /^0\.usd_per_unit/],
  [[{ model: 'm1' }], /^0\.provider/],
  [{}, /^prices: /],
  [null, /^prices: /],
])('%j is refused with the place of the mistake', (json, message) => {
  expect(() => parseOverrides(json)).toThrow(message)
})

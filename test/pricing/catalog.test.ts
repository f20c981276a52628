import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { buildCatalog, formatCatalog } from '../../scripts/pricing-catalog.ts'
import { UserError } from '../../src/errors.ts'
import { answerPrice } from '../../src/pricing/answer.ts'
import { loadCatalog, modelOf } from '../../src/pricing/catalog.ts'
import { describePrice } from '../../src/pricing/describe.ts'
import { findRule } from '../../src/pricing/price.ts'

const NOW = Date.parse('2026-11-24')
const catalog = loadCatalog()

test('catalog.json is what the generator makes of the installed package and the supplement', () => {
  const file = new URL('../../src/pricing/catalog.json', import.meta.url)
  expect(readFileSync(file, 'utf8')).toBe(formatCatalog(buildCatalog()))
})

test('every rule has a name of its own, a source, and a span of time', () => {
  const rules = [...new Set(catalog.lines.values())].flatMap((line) => modelOf(catalog, line).rules)
  expect(rules.length).toBeGreaterThan(1_300)
  expect(new Set(rules.map(({ id }) => id)).size).toBe(rules.length)
  for (const { id, source, valid_from, valid_to } of rules) {
    expect(source, id).toMatch(/^https:\/\//)
    expect(valid_from, id).toBeLessThan(valid_to)
  }
})

test('the origin of the prices is told', () => {
  expect(catalog.source).toMatch(/^@pydantic\/genai-prices \d+\.\d+\.\d+ \(MIT\), https:/)
})

test('a price is told in exact decimals, with its tiers', () => {
  const rule = findRule(catalog, {
    provider: 'openai',
    model: 'gpt-5.6',
    at: NOW,
    service_tier: 'batch',
  })
  expect(rule && describePrice(rule)).toEqual({
    rule_id: 'openai/gpt-5.6-sol@2026-08-21#batch',
    provider: 'openai',
    model: 'gpt-5.6-sol',
    service_tier: 'batch',
    usd_per_mtok: {
      input: '2',
      cache_read: '0.2',
      cache_write_5m: '2.5',
      input_image: '2',
      output: '10',
    },
    usd_per_unit: { web_search: { usd: '10', per: 1000 }, file_search: { usd: '2.5', per: 1000 } },
    tier_mode: 'whole_prompt',
    tiers: [
      {
        above_tokens: 271_999,
        usd_per_mtok: {
          input: '4',
          cache_read: '0.4',
          cache_write_5m: '5',
          input_image: '4',
          output: '15',
        },
      },
    ],
    valid_from: '2026-08-21',
    source: 'https://developers.openai.com/api/docs/pricing',
  })
})

test('bounds and hours of a price are told where it has them', () => {
  const at = Date.parse('2025-03-03T12:00:00Z')
  const chat = findRule(catalog, { provider: 'deepseek', model: 'deepseek-chat', at })
  expect(chat && describePrice(chat)).toMatchObject({
    utc_hours: '00:30-16:30',
    valid_to: '2025-09-05T16:00:00.000Z',
  })
  const fast = findRule(catalog, { provider: 'openai', model: 'gpt-5.5', at: NOW, speed: 'fast' })
  expect(fast && describePrice(fast)).toMatchObject({ prompt_tokens_max: 271_999 })
  const us = findRule(catalog, {
    provider: 'anthropic',
    model: 'claude-opus-5',
    at: NOW,
    inference_geo: 'us',
  })
  expect(us && describePrice(us)).toMatchObject({
    inference_geo: 'us',
    usd_per_mtok: { input: '5.5' },
  })
})

test('a question names all tiers that are priced, and none twice', () => {
  const tiers = (provider: string, model: string) =>
    answerPrice(catalog, { provider, model, at: NOW }).prices.map(
      ({ service_tier }) => service_tier,
    )
  expect(tiers('anthropic', 'claude-opus-5')).toEqual(['standard', 'batch', 'fast'])
  expect(tiers('openai', 'gpt-5')).toEqual(['standard', 'batch', 'flex', 'priority'])
  expect(tiers('openai', 'text-embedding-3-small')).toEqual(['standard'])
})

test('a question without a provider is answered for each', () => {
  const { prices } = answerPrice(catalog, {
    model: 'claude-opus-5',
    at: NOW,
    service_tier: 'standard',
  })
  expect(prices.map(({ provider }) => provider)).toEqual(
    expect.arrayContaining(['anthropic', 'google', 'aws']),
  )
})

test('what has no price is answered with the reason', () => {
  expect(
    answerPrice(catalog, {
      model: 'claude-opus-5',
      provider: 'anthropic',
      at: NOW,
      service_tier: 'flex',
    }),
  ).toMatchObject({
    prices: [],
    notes: ['No flex price is published for claude-opus-5; such use is unpriced.'],
  })
  const { prices, notes } = answerPrice(catalog, {
    model: 'deepseek-v4-pro',
    provider: 'deepseek',
    at: NOW,
  })
  expect(prices).toEqual([])
  expect(notes.join(' ')).toContain('public holidays')
})

test('an unknown model is refused with the nearest names', () => {
  const ask = () =>
    answerPrice(catalog, { model: 'claude-sonet-5', provider: 'anthropic', at: NOW })
  expect(ask).toThrow(UserError)
  expect(ask).toThrow(
    /No price is known for "claude-sonet-5" at anthropic\. Closest: claude-sonnet-5/,
  )
})

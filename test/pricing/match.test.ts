import { expect, test } from 'vitest'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { findModel, listModels, suggestModels } from '../../src/pricing/match.ts'

const catalog = loadCatalog()
const nameOf = (provider: string, name: string) => findModel(catalog, provider, name)?.model

test.each([
  ['anthropic', 'claude-sonnet-4-5', 'claude-sonnet-4-5'],
  ['anthropic', 'claude-sonnet-4-5-20250929', 'claude-sonnet-4-5'],
  ['anthropic', 'claude-sonnet-4-20250514', 'claude-sonnet-4-0'],
  ['anthropic', ' Claude-Opus-5[1m] ', 'claude-opus-5'],
  ['anthropic', 'claude-opus-5-latest', 'claude-opus-5'],
  ['openai', 'gpt-5.4-2026-03-05', 'gpt-5.4'],
  ['openai', 'gpt-4o-2024-05-13', 'gpt-4o-2024-05-13'],
  ['openai', 'gpt-5.1-codex-max', 'gpt-5.1'],
  ['openai', 'ft:gpt-4o-2024-08-06:acme::9Zx', 'ft:gpt-4o'],
  ['google', 'models/gemini-2.0-flash-001', 'gemini-2.0-flash'],
  ['google', 'gemini-2.5-flash-preview-09-2025', 'gemini-2.5-flash'],
  ['gcp.vertex_ai', 'publishers/anthropic/models/claude-sonnet-4-5@20250929', 'claude-sonnet-4-5'],
  ['GCP.Gemini', 'gemini-2.5-pro', 'gemini-2.5-pro'],
  ['x_ai', 'grok-4.6-20261001', 'grok-4.6'],
  ['openrouter', 'anthropic/claude-opus-5', 'anthropic/claude-opus-5'],
  ['groq', 'openai/gpt-oss-120b', 'openai/gpt-oss-120b'],
  ['aws', 'anthropic.claude-opus-4-5-20251101-v1:0', 'regional.anthropic.claude-opus-4-5-v1:0'],
  [
    'aws',
    'global.anthropic.claude-opus-4-5-20251101-v1:0',
    'global.anthropic.claude-opus-4-5-v1:0',
  ],
  ['aws', 'eu.meta.llama3-3-70b-instruct-v1:0', 'meta.llama3-3-70b-instruct-v1:0'],
  [
    'bedrock',
    'us.anthropic.claude-3-5-sonnet-20241022-v2:0',
    'regional.anthropic.claude-3-5-sonnet-20241022-v2:0',
  ],
])('%s %s is %s', (provider, name, model) => {
  expect(nameOf(provider, name)).toBe(model)
})

test.each([
  ['anthropic', 'claude-sonnet-4-5-turbo'],
  ['anthropic', 'claude-sonnet-4-5-20259999'],
  ['anthropic', 'claude-sonnet-4-5-20250929-x'],
  ['anthropic', 'anthropic/claude-opus-5'],
  ['anthropic', 'gpt-5'],
  ['anthropic', ''],
  ['openai', 'gpt-5.4-ultra'],
  ['openai', 'gpt-5-nano-'],
  ['openai', 'openai/gpt-5'],
  ['openai', 'ft:gpt-5:acme::9Zx'],
  ['google', 'gemini-2.5-pro-foo'],
  ['google', 'gemini-2.5-pro-preview-06-05'],
  ['azure', 'gpt-6-sol'],
  ['aws', 'global.meta.llama3-3-70b-instruct-v1:0'],
  ['nobody', 'gpt-5'],
  ['openai', 'x'.repeat(100_000)],
])('%s %.40s is no known model', (provider, name) => {
  expect(nameOf(provider, name)).toBeUndefined()
})

test('suggestions are the nearest names, of one provider or of all', () => {
  expect(suggestModels(catalog, 'anthropic', 'claude-sonet-5', 1)).toEqual(['claude-sonnet-5'])
  expect(suggestModels(catalog, 'gemini', 'gemini-2.5-por', 2)[0]).toBe('gemini-2.5-pro')
  expect(suggestModels(catalog, undefined, 'gpt-6-sool', 1)).toEqual(['gpt-6-sol'])
  expect(suggestModels(catalog, 'anthropic', 'zzzzzzzz', 3)).toEqual([])
})

test('a model without a provider is found at each that has it', () => {
  const found = listModels(catalog, 'claude-opus-5').map(({ provider }) => provider)
  expect(found).toEqual(expect.arrayContaining(['anthropic', 'google', 'aws']))
})

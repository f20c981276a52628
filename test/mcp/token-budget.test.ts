import { expect, test } from 'vitest'
import { ALL_TOKENS_MAX, CORE_TOKENS_MAX, CORE_TOOLS, listDefinitionTokens } from './definitions.ts'

test('the five core tools cost a model at most 2,000 tokens', async () => {
  const definitions = await listDefinitionTokens()
  const core = definitions.filter(({ name }) => CORE_TOOLS.includes(name))
  expect(core.map(({ name }) => name).sort()).toEqual(CORE_TOOLS.toSorted())
  expect(sum(core.map(({ shown }) => shown))).toBeLessThanOrEqual(CORE_TOKENS_MAX)
  expect(sum(core.map(({ with_output }) => with_output))).toBeLessThanOrEqual(CORE_TOKENS_MAX)
})

test('all tools together cost a model at most 5,000 tokens, 20 tools at most', async () => {
  const definitions = await listDefinitionTokens()
  expect(definitions.length).toBeLessThanOrEqual(20)
  expect(sum(definitions.map(({ shown }) => shown))).toBeLessThanOrEqual(ALL_TOKENS_MAX)
})

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

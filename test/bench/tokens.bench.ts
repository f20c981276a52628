import {
  ALL_TOKENS_MAX,
  CORE_TOKENS_MAX,
  CORE_TOOLS,
  listDefinitionTokens,
} from '../mcp/definitions.ts'
import type { Figure } from './bench.ts'

/** What `tools/list` costs a model, whether or not it asks anything. */
export async function run(): Promise<Figure[]> {
  const all = await listDefinitionTokens()
  const core = all.filter(({ name }) => CORE_TOOLS.includes(name))
  const budget = (name: string, tools: typeof all, target: number): Figure[] => [
    {
      name,
      value: tools.reduce((sum, { shown }) => sum + shown, 0),
      unit: 'tokens',
      target,
      bound: 'at_most',
      note: 'name, description, input schema (o200k_base)',
    },
    {
      name: `${name}, output schemas too`,
      value: tools.reduce((sum, { with_output }) => sum + with_output, 0),
      unit: 'tokens',
      note: 'hosts that show them',
    },
  ]
  return [
    ...budget(`${core.length} core tools`, core, CORE_TOKENS_MAX),
    ...(all.length > core.length ? budget(`all ${all.length} tools`, all, ALL_TOKENS_MAX) : []),
    ...all.map(({ name, shown, with_output }) => ({
      name,
      value: shown,
      unit: 'tokens',
      note: `${with_output} with output schema`,
    })),
  ]
}

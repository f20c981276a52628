import type { Client } from './client.ts'
import { chatSpan } from './genai.ts'
import { callSpan } from './vercel-ai.ts'

/**
 * By a plugin that mirrors Claude Code's metrics, or by the spans of the AI SDK inside.
 * https://opencode.ai/docs/plugins
 */
export const opencode: Client = {
  id: 'opencode',
  service: /^opencode$/,
  event: /^opencode\./,
  provider: 'unknown',
  logs: [],
  spans: [callSpan, chatSpan],
  metrics: [
    {
      names: ['opencode.token.usage'],
      measure: {
        by: 'type',
        of: {
          input: 'input',
          output: 'output',
          reasoning: 'reasoning',
          cacheRead: 'cache_read',
          cacheCreation: 'cache_write',
        },
      },
      model: ['model'],
    },
    { names: ['opencode.cost.usage'], measure: 'cost_nanos', model: ['model'], is_usd: true },
  ],
  formula: { input_includes_cache: false, output_includes_reasoning: false },
}

import type { Client, RequestMap } from './client.ts'
import { GENAI_USAGE } from './genai-names.ts'

const USAGE = {
  ...GENAI_USAGE,
  input: ['ai.usage.inputTokens', 'ai.usage.promptTokens', 'ai.usage.tokens', ...GENAI_USAGE.input],
  uncached_input: ['ai.usage.inputTokenDetails.noCacheTokens'],
  cache_read: [
    'ai.usage.inputTokenDetails.cacheReadTokens',
    'ai.usage.cachedInputTokens',
    ...GENAI_USAGE.cache_read,
  ],
  cache_write: ['ai.usage.inputTokenDetails.cacheWriteTokens', ...GENAI_USAGE.cache_write],
  output: ['ai.usage.outputTokens', 'ai.usage.completionTokens', ...GENAI_USAGE.output],
  reasoning: [
    'ai.usage.outputTokenDetails.reasoningTokens',
    'ai.usage.reasoningTokens',
    ...GENAI_USAGE.reasoning,
  ],
}

/** The inner spans are the requests; the outer ones (`ai.generateText`) sum up their steps. */
export const callSpan: RequestMap = {
  where: {
    'ai.operationId': [
      'ai.generateText.doGenerate',
      'ai.streamText.doStream',
      'ai.generateObject.doGenerate',
      'ai.streamObject.doStream',
      'ai.embed.doEmbed',
      'ai.embedMany.doEmbed',
    ],
  },
  needs: [...USAGE.input, ...USAGE.output],
  model: ['ai.response.model', 'gen_ai.response.model', 'ai.model.id', 'gen_ai.request.model'],
  usage: USAGE,
  response_id: ['ai.response.id', 'gen_ai.response.id'],
  identity: [[]],
}

/** https://ai-sdk.dev/docs/ai-sdk-core/telemetry */
export const vercelAi: Client = {
  id: null,
  attributes: ['ai.operationId'],
  provider: 'unknown',
  logs: [],
  spans: [callSpan],
  metrics: [],
  formula: { input_includes_cache: true, output_includes_reasoning: true },
}

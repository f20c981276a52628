import type { Client } from './client.ts'

/** https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md */
export const openinference: Client = {
  id: null,
  attributes: ['openinference.span.kind'],
  provider: 'unknown',
  logs: [],
  spans: [
    {
      where: { 'openinference.span.kind': ['LLM', 'EMBEDDING'] },
      needs: ['llm.token_count.prompt', 'llm.token_count.completion'],
      model: [
        'llm.response.model_name',
        'llm.model_name',
        'llm.request.model_name',
        'embedding.model_name',
      ],
      usage: {
        input: ['llm.token_count.prompt'],
        input_includes_cache: true,
        cache_read: [
          'llm.token_count.prompt_details.cache_read',
          'llm.token_count.prompt_details.cache_input',
        ],
        cache_write: ['llm.token_count.prompt_details.cache_write'],
        output: ['llm.token_count.completion'],
        output_includes_reasoning: true,
        reasoning: ['llm.token_count.completion_details.reasoning'],
        input_audio: ['llm.token_count.prompt_details.audio'],
        output_audio: ['llm.token_count.completion_details.audio'],
      },
      cost_usd: ['llm.cost.total'],
      response_id: ['gen_ai.response.id'],
      identity: [[]],
    },
  ],
  metrics: [],
  formula: { input_includes_cache: true, output_includes_reasoning: true },
}

/**
 * Attribute names of the OpenTelemetry conventions for generative AI, newest first, then what older
 * generations and OpenLLMetry call the same.
 * https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md
 * https://github.com/traceloop/openllmetry-js/tree/main/packages/ai-semantic-conventions
 */
export const GENAI_USAGE = {
  input: ['gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens', 'llm.usage.prompt_tokens'],
  input_includes_cache: true,
  cache_read: [
    'gen_ai.usage.cache_read.input_tokens',
    'gen_ai.usage.cache_read_input_tokens',
    'gen_ai.usage.cached_tokens',
  ],
  cache_write: [
    'gen_ai.usage.cache_write.input_tokens',
    'gen_ai.usage.cache_creation.input_tokens',
    'gen_ai.usage.cache_creation_input_tokens',
  ],
  output: [
    'gen_ai.usage.output_tokens',
    'gen_ai.usage.completion_tokens',
    'llm.usage.completion_tokens',
  ],
  output_includes_reasoning: true,
  reasoning: ['gen_ai.usage.reasoning.output_tokens', 'gen_ai.usage.reasoning_tokens'],
  input_audio: ['gen_ai.usage.audio.input_tokens'],
  output_audio: ['gen_ai.usage.audio.output_tokens'],
} as const

/** What answered goes before what was asked for: an alias has no price of its own. */
export const GENAI_MODEL = [
  'gen_ai.response.model',
  'gen_ai.request.model',
  'llm.response.model',
  'llm.request.model',
] as const

/** Operations that are one request to a model; those of agents and workflows sum theirs up. */
export const GENAI_OPERATIONS = ['chat', 'generate_content', 'text_completion', 'embeddings']

import type { Client } from './client.ts'

/** https://github.com/openai/codex/tree/main/codex-rs/otel */
export const codex: Client = {
  id: 'codex',
  service: /^codex/,
  scope: /^codex(_exec$|_otel\b|$)/,
  event: /^codex\./,
  provider: 'openai',
  logs: [
    {
      names: ['codex.sse_event'],
      where: { 'event.kind': ['response.completed'] },
      // The raw stream event of the same kind has no counts.
      needs: ['input_token_count'],
      model: ['model', 'slug'],
      usage: {
        input: ['input_token_count'],
        input_includes_cache: true,
        cache_read: ['cached_token_count'],
        cache_write: ['cache_write_token_count'],
        output: ['output_token_count'],
        output_includes_reasoning: true,
        reasoning: ['reasoning_token_count'],
      },
      // No request id is told; the observed time has the resolution of a nanosecond.
      identity: [['conversation.id', 'model']],
    },
  ],
  spans: [
    {
      names: ['session_task.turn'],
      needs: ['codex.turn.token_usage.input_tokens'],
      model: ['model'],
      usage: {
        input: ['codex.turn.token_usage.input_tokens'],
        input_includes_cache: true,
        cache_read: ['codex.turn.token_usage.cached_input_tokens'],
        cache_write: ['codex.turn.token_usage.cache_write_input_tokens'],
        output: ['codex.turn.token_usage.output_tokens'],
        output_includes_reasoning: true,
        reasoning: ['codex.turn.token_usage.reasoning_output_tokens'],
      },
      identity: [['turn.id']],
      is_fallback: true,
      is_sum: true,
    },
  ],
  metrics: [
    {
      names: ['codex.turn.token_usage'],
      measure: {
        by: 'token_type',
        of: {
          input: 'input',
          cached_input: 'cache_read',
          cache_write_input: 'cache_write',
          output: 'output',
          reasoning_output: 'reasoning',
        },
      },
      model: ['model'],
    },
  ],
  formula: { input_includes_cache: true, output_includes_reasoning: true },
}

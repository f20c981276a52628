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
  spans: [],
}

import type { Client } from './client.ts'

/** https://code.claude.com/docs/en/monitoring-usage */
export const claudeCode: Client = {
  id: 'claude-code',
  service: /^claude-code(-desktop)?$/,
  scope: /^com\.anthropic\.claude_code/,
  event: /^claude_code\./,
  provider: 'anthropic',
  logs: [
    {
      names: ['api_request', 'claude_code.api_request'],
      model: ['model'],
      usage: {
        input: ['input_tokens'],
        input_includes_cache: false,
        cache_read: ['cache_read_tokens'],
        cache_write: ['cache_creation_tokens'],
        output: ['output_tokens'],
        output_includes_reasoning: true,
      },
      cost_micros: ['cost_usd_micros'],
      cost_usd: ['cost_usd'],
      request_id: ['request_id'],
      // Resumed processes reuse sequence numbers: alone they tell nothing apart.
      identity: [
        ['request_id'],
        ['session.id', 'client_request_id'],
        ['session.id', 'event.timestamp', 'event.sequence', 'model'],
      ],
    },
  ],
  spans: [],
}

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
  // A span of it has the same tokens once more, and no cost.
  spans: [],
  metrics: [
    {
      names: ['claude_code.token.usage'],
      measure: {
        by: 'type',
        of: {
          input: 'input',
          output: 'output',
          cacheRead: 'cache_read',
          cacheCreation: 'cache_write',
        },
      },
      model: ['model'],
    },
    {
      names: ['claude_code.cost.usage'],
      measure: 'cost_nanos',
      model: ['model'],
      is_usd: true,
    },
    {
      names: ['claude_code.lines_of_code.count'],
      measure: { by: 'type', of: { added: 'lines_added', removed: 'lines_removed' } },
      model: ['model'],
    },
    { names: ['claude_code.commit.count'], measure: 'commits', model: ['model'] },
    { names: ['claude_code.pull_request.count'], measure: 'pull_requests', model: ['model'] },
  ],
  formula: { input_includes_cache: false, output_includes_reasoning: true },
}

import type { Client } from './client.ts'
import { chatSpan, detailsEvent, genaiMetrics } from './genai.ts'

/**
 * GitHub Copilot's CLI and editors. Seats pay for it, by premium requests: its tokens have a list value
 * and no bill, and what it calls a cost is in units of its own.
 * https://docs.github.com/en/copilot/reference/copilot-cli-reference/opentelemetry-reference
 */
export const copilot: Client = {
  id: 'copilot',
  service: /^(github-copilot|copilot-chat)$/,
  scope: /^github\.copilot/,
  event: /^(github\.)?copilot[._]/,
  provider: 'github',
  billing_mode: 'subscription',
  logs: [{ ...detailsEvent, cost_usd: [] }],
  spans: [{ ...chatSpan, cost_usd: [] }],
  metrics: genaiMetrics,
  formula: { input_includes_cache: true, output_includes_reasoning: true },
}

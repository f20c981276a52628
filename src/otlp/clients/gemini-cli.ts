import type { Client, MetricMap, RequestMap } from './client.ts'
import { detailsEvent } from './genai.ts'

/** The conventions' event follows at once. It knows no more, except what the answer calls itself. */
export const detailsTwin: RequestMap = {
  ...detailsEvent,
  needs: ['gen_ai.response.id'],
  is_twin: true,
}

/** https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/telemetry.md */
export const geminiCli: Client = {
  id: 'gemini-cli',
  service: /^gemini-cli$/,
  scope: /^gemini-cli$/,
  event: /^gemini_cli\./,
  provider: 'google',
  logs: [apiResponse('gemini_cli.api_response'), detailsTwin],
  // The span and the conventions' metrics have the same tokens once more.
  spans: [],
  metrics: [tokenUsage('gemini_cli.token.usage')],
  formula: { input_includes_cache: true, output_includes_reasoning: false },
}

/** Shared with the forks of Gemini CLI. */
export function apiResponse(...names: string[]): RequestMap {
  return {
    names,
    model: ['model'],
    usage: {
      input: ['input_token_count'],
      input_includes_cache: true,
      other_input: ['tool_token_count'],
      cache_read: ['cached_content_token_count'],
      output: ['output_token_count'],
      output_includes_reasoning: false,
      reasoning: ['thoughts_token_count'],
    },
    response_id: ['response_id'],
    identity: [['session.id', 'event.timestamp', 'prompt_id', 'role', 'model', 'duration_ms']],
  }
}

export function tokenUsage(...names: string[]): MetricMap {
  return {
    names,
    measure: {
      by: 'type',
      of: {
        input: 'input',
        output: 'output',
        thought: 'reasoning',
        cache: 'cache_read',
        tool: 'other_input',
      },
    },
    model: ['model'],
  }
}

import type { Client } from './client.ts'

/** https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/telemetry.md */
export const geminiCli: Client = {
  id: 'gemini-cli',
  service: /^gemini-cli$/,
  scope: /^gemini-cli$/,
  event: /^gemini_cli\./,
  provider: 'google',
  logs: [
    {
      names: ['gemini_cli.api_response'],
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
      identity: [['session.id', 'event.timestamp', 'prompt_id', 'role', 'model', 'duration_ms']],
    },
  ],
  spans: [],
}

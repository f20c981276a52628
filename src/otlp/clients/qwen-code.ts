import type { Client } from './client.ts'
import { apiResponse, detailsTwin, tokenUsage } from './gemini-cli.ts'
import { GENAI_MODEL, GENAI_USAGE } from './genai-names.ts'

/** A fork of Gemini CLI: https://github.com/QwenLM/qwen-code/blob/main/docs/developers/development/telemetry.md */
export const qwenCode: Client = {
  id: 'qwen-code',
  service: /^qwen-code$/,
  scope: /^qwen-code$/,
  event: /^qwen[-_]code\./,
  provider: 'qwen',
  logs: [apiResponse('qwen-code.api_response', 'qwen_code.api_response'), detailsTwin],
  spans: [
    {
      names: ['qwen-code.llm_request', 'qwen_code.llm_request'],
      needs: ['input_token_count', ...GENAI_USAGE.input],
      model: ['model', ...GENAI_MODEL],
      usage: {
        ...GENAI_USAGE,
        input: ['input_token_count', ...GENAI_USAGE.input],
        cache_read: ['cached_content_token_count', ...GENAI_USAGE.cache_read],
        output: ['output_token_count', ...GENAI_USAGE.output],
      },
      response_id: ['response_id', 'gen_ai.response.id'],
      identity: [[]],
      is_fallback: true,
    },
  ],
  metrics: [tokenUsage('qwen-code.token.usage', 'qwen_code.token.usage')],
  formula: { input_includes_cache: true, output_includes_reasoning: false },
}

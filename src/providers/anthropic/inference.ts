import type { InferenceApi } from '../inference.ts'
import { refuseKeyOf } from '../key-kind.ts'

const key_help = {
  kind: 'an API key for inference (sk-ant-api…)',
  url: 'https://platform.claude.com/settings/keys',
}

/** https://platform.claude.com/docs/en/api/models-list */
export const anthropicInference: InferenceApi = {
  id: 'anthropic',
  name: 'Anthropic',
  base_url: 'https://api.anthropic.com',
  models_path: '/v1/models?limit=1',
  headers: (key) => ({ 'x-api-key': key, 'anthropic-version': '2023-06-01' }),
  key_help,
  refuseKey: refuseKeyOf({ accepted: [/^sk-ant-api/], key_help }),
}

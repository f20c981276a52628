import type { InferenceApi } from '../inference.ts'
import { refuseKeyOf } from '../key-kind.ts'

const key_help = {
  kind: 'a Gemini API key (AIza…)',
  url: 'https://aistudio.google.com/apikey',
}

/** https://ai.google.dev/api/models#method:-models.list */
export const googleInference: InferenceApi = {
  id: 'google',
  name: 'Google Gemini',
  base_url: 'https://generativelanguage.googleapis.com',
  models_path: '/v1beta/models?pageSize=1',
  headers: (key) => ({ 'x-goog-api-key': key }),
  key_help,
  refuseKey: refuseKeyOf({ accepted: [/^AIza/], key_help }),
}

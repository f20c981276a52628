import type { InferenceApi } from '../inference.ts'
import { refuseKeyOf } from '../key-kind.ts'

const key_help = {
  kind: 'an API key for inference (sk-proj-… or sk-svcacct-…)',
  url: 'https://platform.openai.com/api-keys',
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

/** https://platform.openai.com/docs/api-reference/models/list */
export const openaiInference: InferenceApi = {
  id: 'openai',
  name: 'OpenAI',
  base_url: 'https://api.openai.com/v1',
  models_path: '/models',
  headers: bearer,
  key_help,
  refuseKey: refuseKeyOf({
    accepted: [/^sk-proj-/, /^sk-svcacct-/, /^sk-(?!admin-|ant-|or-)/],
    key_help,
  }),
}

/** Any server that speaks the same: its keys have any form. */
export function openaiCompatible(name: string): InferenceApi {
  const help = { kind: `an API key of ${name}`, url: `the site of ${name}` }
  return {
    id: name,
    name,
    base_url: null,
    models_path: '/models',
    headers: bearer,
    key_help: help,
    refuseKey: refuseKeyOf({ accepted: [/^(?!olk_|olt_)/], key_help: help }),
  }
}

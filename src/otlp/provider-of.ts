import { providerId } from '../pricing/spelling.ts'
import { findText, type Item } from './attributes.ts'

const NAMED = ['gen_ai.provider.name', 'gen_ai.system', 'llm.provider', 'llm.system']
/** Gateways and clients that say who they are there, not whose model it is. */
const NO_VENDORS = ['github', 'langchain', 'litellm', 'vercel', 'other', '_other']
/** The AI SDK's words, which go on after a dot: https://ai-sdk.dev/providers/ai-sdk-providers */
const AI_SDK: Readonly<Record<string, string>> = {
  'amazon-bedrock': 'aws',
  'google-vertex': 'google',
  xai: 'x-ai',
  togetherai: 'together',
}
/** Where a client of one vendor was pointed to, as people tag it. */
const BACKENDS: Readonly<Record<string, string>> = { bedrock: 'aws', vertex: 'google' }

/** Whose model is billed: as the telemetry says, else as the model's name does. */
export function providerOf(item: Item, model: string, usual: string): string {
  const backend = findText(item, ['llm.backend'])?.toLowerCase()
  if (backend) return BACKENDS[backend] ?? providerId(backend)
  // The AI SDK writes its own `openai.responses` where the convention has `openai`.
  const [vendor] = (findText(item, ['ai.model.provider']) ?? '').split('.')
  if (vendor) return AI_SDK[vendor] ?? providerId(vendor)
  const named = findText(item, NAMED)
  if (named && !NO_VENDORS.includes(named.toLowerCase())) return providerId(named)
  return providerOfModel(model) ?? usual
}

/** Whose model a name is, by how it begins. A client can be pointed at any vendor's models. */
const VENDORS: readonly (readonly [pattern: RegExp, provider: string])[] = [
  [/^(?:(?:us|eu|apac|global|jp|au)\.)?(?:anthropic|amazon|meta|mistral|cohere)\.[\w-]+/, 'aws'],
  [/^claude-/, 'anthropic'],
  [/^(?:gpt-|chatgpt-|codex-|o\d(?:-|$)|text-embedding-|ft:)/, 'openai'],
  [/^(?:models\/)?gem(?:ini|ma)-/, 'google'],
  [/^grok-/, 'x-ai'],
  [/^deepseek-/, 'deepseek'],
  [/^(?:mistral|codestral|devstral|magistral|ministral)-/, 'mistral'],
  [/^kimi-/, 'moonshotai'],
  [/^command-/, 'cohere'],
  [/^sonar/, 'perplexity'],
  [/^qwen/, 'qwen'],
  // Vendor and model with a slash are how gateways name models.
  [/^[\w.-]+\/[\w.:-]+$/, 'openrouter'],
]

function providerOfModel(model: string): string | undefined {
  const lower = model.toLowerCase()
  return VENDORS.find(([pattern]) => pattern.test(lower))?.[1]
}

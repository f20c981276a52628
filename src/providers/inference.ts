import { UserError } from '../errors.ts'
import { anthropicInference } from './anthropic/inference.ts'
import { googleInference } from './google/inference.ts'
import { openaiCompatible, openaiInference } from './openai/inference.ts'

/** How a provider's key for inference is told from others and tried out, at no cost. */
export type InferenceApi = {
  readonly id: string
  readonly name: string
  /** Null: the address must be given. */
  readonly base_url: string | null
  /** Asked to see whether the key works: it lists models and is free. */
  readonly models_path: string
  headers(key: string): Readonly<Record<string, string>>
  readonly key_help: { readonly kind: string; readonly url: string }
  /** Why a text is certainly another kind of key. */
  refuseKey(key: string): string | null
}

const APIS: readonly InferenceApi[] = [anthropicInference, openaiInference, googleInference]
const COMPAT = /^compat\/([a-z0-9][\w.-]{0,39})$/i

/** `anthropic`, or `compat/groq` for an OpenAI-compatible server. @throws UserError with what is known. */
export function getInferenceApi(text: string): InferenceApi & { readonly is_compat: boolean } {
  const known = APIS.find(({ id }) => id === text)
  if (known) return { ...known, is_compat: false }
  const name = COMPAT.exec(text)?.[1]
  if (name !== undefined && !APIS.some(({ id }) => id === name))
    return { ...openaiCompatible(name), is_compat: true }
  throw new UserError(
    `There is no provider "${text.slice(0, 60)}" to send requests to. Known: ${APIS.map(({ id }) => id).join(', ')}; any OpenAI-compatible server as compat/<name> with --base-url.`,
  )
}

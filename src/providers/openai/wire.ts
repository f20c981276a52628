import type { Route, Surface, Wire } from '../wire.ts'
import { batchApi, filesApi } from './batch.ts'
import { type ChatDialect, chatApi, completionsApi, OPENAI_CHAT } from './chat.ts'
import { openaiErrors } from './errors.ts'
import { embeddingsApi, imagesApi, speechApi, transcriptionApi } from './media.ts'
import { compactApi, responsesApi } from './responses.ts'

const ID = '(?<id>[A-Za-z0-9][\\w.-]*)'

const BYPASS =
  'it opens a connection past the proxy, so that nothing of it could be counted or stopped'
const STORED =
  'what it stores or runs is billed apart from any request, where no budget can hold it'

/** The routes of an OpenAI-compatible server, below `/v1`. */
export function openaiRoutes(dialect: ChatDialect): Route[] {
  const responses = responsesApi(dialect)
  return [
    { method: 'POST', path: /^\/chat\/completions$/, rule: 'metered', api: chatApi(dialect) },
    { method: 'POST', path: /^\/responses$/, rule: 'metered', api: responses },
    { method: 'POST', path: /^\/completions$/, rule: 'metered', api: completionsApi(dialect) },
    { method: 'POST', path: /^\/embeddings$/, rule: 'metered', api: embeddingsApi },
    { method: 'POST', path: /^\/responses\/compact$/, rule: 'metered', api: compactApi },
    { method: 'POST', path: /^\/responses\/input_tokens$/, rule: 'free' },
    { method: 'GET', path: /^\/responses\/[A-Za-z0-9][\w.-]*\/input_items$/, rule: 'free' },
    {
      method: 'GET',
      path: new RegExp(`^/responses/${ID}$`),
      rule: 'told_later',
      api: responses,
    },
    {
      method: 'POST',
      path: new RegExp(`^/responses/${ID}/cancel$`),
      rule: 'told_later',
      api: responses,
    },
    { method: 'DELETE', path: new RegExp(`^/responses/${ID}$`), rule: 'free' },
    {
      method: 'POST',
      path: /^\/images\/(?:generations|edits|variations)$/,
      rule: 'metered',
      api: imagesApi,
    },
    {
      method: 'POST',
      path: /^\/audio\/(?:transcriptions|translations)$/,
      rule: 'metered',
      api: transcriptionApi,
    },
    { method: 'POST', path: /^\/audio\/speech$/, rule: 'metered', api: speechApi },
    { method: 'POST', path: /^\/moderations$/, rule: 'free' },
    { method: 'GET', path: /^\/models$/, rule: 'free' },
    { method: 'GET', path: /^\/models\/(?<model>[\w@][\w.@:/-]*)$/, rule: 'free' },
    { method: 'POST', path: /^\/files$/, rule: 'told_later', api: filesApi },
    { method: 'GET', path: /^\/files$/, rule: 'free' },
    { method: 'GET', path: new RegExp(`^/files/${ID}(?:/content)?$`), rule: 'free' },
    { method: 'DELETE', path: new RegExp(`^/files/${ID}$`), rule: 'free' },
    { method: 'POST', path: /^\/batches$/, rule: 'metered', api: batchApi },
    { method: 'GET', path: /^\/batches$/, rule: 'free' },
    { method: 'GET', path: new RegExp(`^/batches/${ID}$`), rule: 'told_later', api: batchApi },
    {
      method: 'POST',
      path: new RegExp(`^/batches/${ID}/cancel$`),
      rule: 'told_later',
      api: batchApi,
    },
    { method: 'POST', path: /^\/realtime\b/, rule: 'refused', reason: BYPASS },
    { method: 'GET', path: /^\/realtime\b/, rule: 'refused', reason: BYPASS },
    {
      method: 'POST',
      path: /^\/(?:assistants|threads|vector_stores|fine_tuning|evals|containers|videos|uploads)\b/,
      rule: 'refused',
      reason: STORED,
    },
  ]
}

/** Clients put `/v1` into the base URL, leave it out, or put it in twice. */
export function withoutVersion(path: string): string {
  return path.replace(/^(?:\/v1(?=\/|$))+/, '') || '/'
}

/** https://developers.openai.com/api/docs/models; the largest of a family, for dated snapshots too. */
const LIMITS: readonly (readonly [name: RegExp, context: number, output: number])[] = [
  [/^gpt-3\.5|^davinci|^babbage/, 16_385, 4_096],
  [/^gpt-4o|^chatgpt-4o/, 128_000, 16_384],
  [/^gpt-4\.1/, 1_047_576, 32_768],
  [/^gpt-4/, 128_000, 16_384],
  [/^o[134]/, 200_000, 100_000],
  [/^gpt-5(?:\.[1-3])?(?:-|$)/, 400_000, 128_000],
  [/^text-embedding/, 300_000, 0],
  // Sixteen pictures at high fidelity; one of 2880 × 2880 of high quality, with its previews:
  // https://developers.openai.com/api/docs/guides/image-generation
  [/^gpt-image/, 128_000, 25_000],
  [/transcribe|whisper|tts/, 64_000, 16_384],
]
/** Of the largest models: what a name that is not known can be at most. */
const LARGEST = { context: 1_050_000, output: 128_000 }

export function openaiLimits(model: string): { context: number; output: number } {
  const found = LIMITS.find(([name]) => name.test(model))
  return found ? { context: found[1], output: found[2] } : LARGEST
}

export const openaiSurface: Surface = {
  prefix: '/',
  repairPath: withoutVersion,
  authorize: (secret) => ['authorization', `Bearer ${secret}`],
  // They name the client's own organisation, to which another key does not belong.
  account_headers: ['openai-organization', 'openai-project'],
  poll_headers: {},
  request_id_header: 'x-request-id',
  errors: openaiErrors,
  routes: openaiRoutes(OPENAI_CHAT),
  limitsOf: openaiLimits,
}

export const openaiWire: Wire = {
  base_url: 'https://api.openai.com/v1',
  surfaces: [openaiSurface],
}

import { NO_USAGE } from '../../usage.ts'
import { countChoices } from '../choices.ts'
import { isTold } from '../told.ts'
import {
  type Api,
  type Ask,
  countAt,
  createMeter,
  isObject,
  type JsonObject,
  largestCap,
  listAt,
  type Meter,
  NO_ASK,
  NO_READING,
  type PathParams,
  type Reading,
  textAt,
  valueAt,
} from '../wire.ts'

const SEARCH = /"(?:googleSearch|google_search|googleSearchRetrieval|google_search_retrieval)"/
const MEDIA = /"(?:inlineData|inline_data|fileData|file_data|cachedContent|cached_content)"/

/** Google's servers take every name in both spellings. */
const CONFIGS = ['generationConfig', 'generation_config']
export const CAPS = CONFIGS.flatMap((name) => [
  [name, 'maxOutputTokens'],
  [name, 'max_output_tokens'],
])
const CHOICES = CONFIGS.flatMap((name) => [
  [name, 'candidateCount'],
  [name, 'candidate_count'],
])

export const generateApi: Api = {
  name: 'generate',
  readRequest: readGenerate,
  answer_ids: [['responseId']],
  markers: ['usageMetadata'],
  endings: [],
  createMeter: generateMeter,
  readText: (event) =>
    listAt(event, 'candidates')
      .flatMap((candidate) => listAt(candidate, 'content', 'parts'))
      .map((part) => textAt(part, 'text') ?? '')
      .join(''),
  caps: CAPS,
  asks_for_usage: false,
  stream_error: 'google',
}

/** The model of a route stands in its path. */
export function modelOf({ model }: PathParams, body: JsonObject): string | null {
  return model ?? textAt(body, 'model')?.replace(/^models\//, '') ?? null
}

export function readGenerate(body: JsonObject, text: string, path: PathParams): Ask {
  const model = modelOf(path, body)
  const has_media = MEDIA.test(text)
  const has_server_tools = usesServerTools(body)
  return {
    ...NO_ASK,
    model,
    is_stream: path['method']?.startsWith('stream') ?? body['stream'] === true,
    output_tokens_max: largestCap(body, CAPS),
    choices: countChoices(body, CHOICES),
    has_unbounded_input: has_media || has_server_tools,
    passes: has_server_tools ? null : 1,
    modalities: has_media || answersInMedia(body, model) ? ['audio', 'image'] : [],
    units: SEARCH.test(text) ? [{ unit: 'web_search', max: null }] : [],
    service_tier: tierAsked(body),
  }
}

/** Tools that run at the client; whatever else a tool names runs at the server. */
const CLIENT_TOOLS = [
  'functionDeclarations',
  'function_declarations',
  'computerUse',
  'computer_use',
]

function usesServerTools(body: JsonObject): boolean {
  return [body['tools'] ?? []]
    .flat()
    .some(
      (tool) => !isObject(tool) || Object.keys(tool).some((name) => !CLIENT_TOOLS.includes(name)),
    )
}

/** Models that draw do so where nothing else is asked for. */
function answersInMedia(body: JsonObject, model: string | null): boolean {
  const asked = CONFIGS.map((name) => valueAt(body, name)).flatMap((config) => [
    valueAt(config, 'responseModalities') ?? [],
    valueAt(config, 'response_modalities') ?? [],
  ])
  const modalities = asked.flat().map((one) => String(one).toUpperCase())
  return modalities.length === 0
    ? /image/.test(model ?? '')
    : modalities.some((one) => one !== 'TEXT')
}

/** Null where it cannot be read: whichever the server takes it for. */
function tierAsked(body: JsonObject): string | null {
  const [tier = 'standard', ...others] = [body['serviceTier'], body['service_tier']].filter(
    (one) => (one ?? null) !== null,
  )
  return typeof tier === 'string' && others.length === 0 ? tier : null
}

/**
 * Each chunk carries the running total; early ones lack counts that are not known yet. Searches are in no
 * count: Gemini 3 is billed by the query, beyond what a project has free; older models by the prompt, for
 * which there is no price of a query. https://ai.google.dev/gemini-api/docs/pricing
 */
function generateMeter(): Meter {
  let usage: JsonObject = {}
  let model: string | null = null
  const queries = new Set<string>()
  let has_maps = false
  const read = (value: JsonObject) => {
    model = textAt(value, 'modelVersion') ?? model
    for (const candidate of listAt(value, 'candidates')) {
      for (const query of listAt(candidate, 'groundingMetadata', 'webSearchQueries'))
        queries.add(String(query))
      has_maps ||= listAt(candidate, 'groundingMetadata', 'groundingChunks').some((chunk) =>
        isObject(valueAt(chunk, 'maps')),
      )
    }
    const said = value['usageMetadata']
    if (!isObject(said)) return null
    usage = { ...usage, ...said }
    if (!isTold(usage, ['promptTokenCount'], ['candidatesTokenCount', 'thoughtsTokenCount']))
      return null
    const reading = generateReading(usage, model, queries.size)
    // Maps have a fee of their own, of which there is no count: the tokens alone are too little.
    return has_maps ? { ...reading, is_consistent: false } : reading
  }
  return createMeter(read, undefined, (value) => {
    const candidates = listAt(value, 'candidates')
    // A blocked prompt has no candidates, and no other chunk.
    return candidates.length === 0 || candidates.some((one) => textAt(one, 'finishReason') !== null)
  })
}

/**
 * The prompt includes what was cached; the candidates exclude thoughts, and tool input is on top.
 * https://ai.google.dev/api/generate-content#UsageMetadata
 */
export function generateReading(
  usage: JsonObject,
  model: string | null,
  searches: number,
): Reading {
  const prompt = countAt(usage, 'promptTokenCount')
  const cached = Math.min(countAt(usage, 'cachedContentTokenCount'), prompt)
  const media = mediaTokens(usage, 'promptTokensDetails')
  const media_cached = mediaTokens(usage, 'cacheTokensDetails')
  const audio = Math.min(Math.max(media.audio - media_cached.audio, 0), prompt - cached)
  const image = Math.min(Math.max(media.image - media_cached.image, 0), prompt - cached - audio)
  const thoughts = countAt(usage, 'thoughtsTokenCount')
  const said = mediaTokens(usage, 'candidatesTokensDetails')
  const candidates = Math.max(countAt(usage, 'candidatesTokenCount'), said.audio + said.image)
  return {
    ...NO_READING,
    model,
    service_tier: tierOf(usage),
    usage: {
      ...NO_USAGE,
      requests: 1,
      uncached_input_tokens:
        prompt - cached - audio - image + countAt(usage, 'toolUsePromptTokenCount'),
      cache_read_tokens: cached,
      input_audio_tokens: audio,
      input_image_tokens: image,
      output_tokens: candidates - said.audio - said.image + thoughts,
      output_audio_tokens: said.audio,
      output_image_tokens: said.image,
      reasoning_tokens: thoughts,
      unit: searches > 0 ? 'web_search' : null,
      units: searches,
    },
    is_consistent: countAt(usage, 'cachedContentTokenCount') <= prompt,
  }
}

function mediaTokens(usage: JsonObject, field: string): { audio: number; image: number } {
  const sums = { audio: 0, image: 0 }
  for (const detail of listAt(usage, field)) {
    const modality = textAt(detail, 'modality')
    if (modality === 'AUDIO') sums.audio += countAt(detail, 'tokenCount')
    if (modality === 'IMAGE' || modality === 'VIDEO') sums.image += countAt(detail, 'tokenCount')
  }
  return sums
}

function tierOf(usage: JsonObject): string | null {
  const tier = textAt(usage, 'serviceTier')?.toLowerCase() ?? null
  if (tier !== null && tier !== 'unspecified') return tier
  return textAt(usage, 'trafficType')?.toLowerCase() ?? null
}

/** Embeddings are billed and report nothing: four bytes of text are about one token. */
const BYTES_PER_TOKEN = 4

export const embedApi: Api = {
  ...generateApi,
  name: 'embed',
  readRequest: (body, _, path) => ({
    ...NO_ASK,
    model: modelOf(path, body),
    service_tier: 'standard',
    estimate: {
      is_exact: false,
      usage: { uncached_input_tokens: Math.ceil(textBytes(body) / BYTES_PER_TOKEN) },
    },
  }),
  caps: [],
}

function textBytes(body: JsonObject): number {
  const requests = listAt(body, 'requests')
  return (requests.length > 0 ? requests : [body])
    .flatMap((one) => listAt(one, 'content', 'parts'))
    .reduce((sum: number, part) => sum + Buffer.byteLength(textAt(part, 'text') ?? ''), 0)
}

import { NO_USAGE, type Usage } from '../../usage.ts'
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
  type Reading,
  textAt,
  valueAt,
} from '../wire.ts'

/**
 * Where the chat API of an OpenAI-compatible server differs. `readCost` reads what the server itself
 * says a request cost, in nano-dollars.
 */
export type ChatDialect = {
  readonly caps: Api['caps']
  /** The limit of a legacy completion that sets none; null: the model's own. */
  readonly completion_tokens_default: number | null
  /** Thinking that `completion_tokens` leaves out is found in the total. */
  readonly is_output_from_total: boolean
  readCost(usage: JsonObject): bigint | null
}

export const OPENAI_CHAT: ChatDialect = {
  // `max_tokens` is the older name: https://developers.openai.com/api/reference/resources/chat
  caps: [['max_completion_tokens'], ['max_tokens']],
  // https://developers.openai.com/api/reference/resources/completions
  completion_tokens_default: 16,
  is_output_from_total: false,
  readCost: () => null,
}

const UNBOUNDED_CHAT =
  /"(?:image_url|input_audio|file|file_id|web_search_options|video_url|plugins|search_parameters)"/
const MEDIA_AUDIO = /"(?:input_audio|audio)"/

export function chatApi(dialect: ChatDialect): Api {
  return {
    name: 'chat',
    readRequest: (body, text) => readChat(body, text, dialect),
    answer_ids: [['id']],
    markers: ['usage', 'x_groq'],
    endings: [],
    createMeter: (ask) => chatMeter(dialect, ask),
    readText: readChatText,
    caps: dialect.caps,
    asks_for_usage: true,
    stream_error: 'openai',
  }
}

/** Legacy completions: `best_of` candidates of every prompt are generated and billed. */
export function completionsApi(dialect: ChatDialect): Api {
  return {
    ...chatApi(dialect),
    name: 'completions',
    readRequest: (body) => {
      const has_cap = dialect.caps.some((path) => (valueAt(body, ...path) ?? null) !== null)
      return {
        ...readBasics(body),
        output_tokens_max: has_cap
          ? largestCap(body, dialect.caps)
          : dialect.completion_tokens_default,
        choices: countChoices(body, [['n'], ['best_of']]) * countPrompts(body),
      }
    },
    readText: (event) =>
      listAt(event, 'choices')
        .map((choice) => textAt(choice, 'text') ?? '')
        .join(''),
  }
}

function countPrompts(body: JsonObject): number {
  const prompts = listAt(body, 'prompt')
  return prompts.length === 0 || typeof prompts[0] === 'number' ? 1 : prompts.length
}

/** Searches by option, by plug-in, or because the model always does: https://openrouter.ai/docs/features/web-search */
const OPEN_OPTIONS = ['web_search_options', 'plugins', 'search_parameters', 'models', 'preset']
const SEARCH_MODEL = /-search-(?:preview|api)|deep-research|:online$/

export function readBasics(body: JsonObject): Ask {
  const is_open =
    SEARCH_MODEL.test(textAt(body, 'model') ?? '') ||
    OPEN_OPTIONS.some((name) => (body[name] ?? null) !== null)
  return {
    ...NO_ASK,
    passes: is_open ? null : 1,
    // Where the first cannot answer: https://openrouter.ai/docs/features/model-routing
    other_models: listAt(body, 'models').map(String),
    model: textAt(body, 'model'),
    is_stream: body['stream'] === true,
    output_tokens_max: null,
    cache_write: '5m',
    service_tier: textAt(body, 'service_tier'),
    has_usage_option: valueAt(body, 'stream_options', 'include_usage') === true,
    user: textAt(body, 'safety_identifier') ?? textAt(body, 'user'),
    session: textAt(body, 'prompt_cache_key'),
  }
}

/** Types of the tools that the server runs itself; functions run at the client. */
export function listServerTools(tools: readonly unknown[]): unknown[] {
  return tools
    .map((tool) => valueAt(tool, 'type') ?? 'function')
    .filter((type) => type !== 'function' && type !== 'custom')
}

function readChat(body: JsonObject, text: string, { caps }: ChatDialect): Ask {
  const basics = readBasics(body)
  return {
    ...basics,
    output_tokens_max: largestCap(body, caps),
    choices: countChoices(body, [['n']]),
    has_unbounded_input: UNBOUNDED_CHAT.test(text) || hasMedia(body),
    modalities: modalitiesOf(body, text),
    // As marked for Anthropic's models: https://openrouter.ai/docs/features/prompt-caching
    cache_write: text.includes('"cache_control"') && text.includes('"1h"') ? '1h' : '5m',
    // OpenAI's chat has no such tools; elsewhere nothing limits them.
    passes: listServerTools(listAt(body, 'tools')).length > 0 ? null : basics.passes,
  }
}

/** Parts of a message that are wholly in the body; any other can name a picture, a document, a recording. */
const TEXT_PARTS: readonly unknown[] = ['text', 'refusal', 'thinking']

function hasMedia(body: JsonObject): boolean {
  return listAt(body, 'messages').some(
    (message) =>
      // An earlier answer's recording, by its id.
      isObject(valueAt(message, 'audio')) ||
      listAt(message, 'content').some((part) => !TEXT_PARTS.includes(valueAt(part, 'type'))),
  )
}

function modalitiesOf(body: JsonObject, text: string): Ask['modalities'] {
  return [
    ...(MEDIA_AUDIO.test(text) ? (['audio'] as const) : []),
    ...(listAt(body, 'modalities').includes('image') ? (['image'] as const) : []),
  ]
}

function chatMeter(dialect: ChatDialect, { passes, other_models }: Ask): Meter {
  // Searches have a fee that no usage tells: the tokens alone are too little.
  const has_fees = passes === null && other_models.length === 0
  let model: string | null = null
  let tier: string | null = null
  return createMeter(
    (value) => {
      model = textAt(value, 'model') ?? model
      tier = textAt(value, 'service_tier') ?? tier
      // Groq has told it beside the answer: https://console.groq.com/docs/api-reference#chat
      const usage = valueAt(value, 'usage') ?? valueAt(value, 'x_groq', 'usage')
      if (!isObject(usage) || !isTold(usage, ['prompt_tokens'], ['completion_tokens'])) return null
      const reading = chatReading(usage, dialect, { model, service_tier: tier })
      return has_fees && reading.reported_cost_nanos === null
        ? { ...reading, is_consistent: false }
        : reading
    },
    undefined,
    // Some servers count on in every chunk: then the one that ends a choice, or has none, is the last.
    // An answer that is no stream has whole messages, and says it once.
    (value) => {
      const choices = listAt(value, 'choices')
      return choices.length === 0 || choices.some(isEnded)
    },
  )
}

function isEnded(choice: unknown): boolean {
  return textAt(choice, 'finish_reason') !== null || isObject(valueAt(choice, 'message'))
}

/**
 * `prompt_tokens` includes cached, cache-written and audio tokens, `completion_tokens` reasoning and
 * audio: https://developers.openai.com/api/reference/resources/completions
 */
export function chatReading(
  usage: JsonObject,
  dialect: ChatDialect,
  about: Pick<Reading, 'model' | 'service_tier'>,
): Reading {
  const prompt = countAt(usage, 'prompt_tokens')
  const total = countAt(usage, 'total_tokens')
  const said = countAt(usage, 'completion_tokens')
  const output = dialect.is_output_from_total ? Math.max(said, total - prompt) : said
  const input = splitInput(prompt, {
    // Moonshot has it beside the total: https://platform.moonshot.ai/docs/api/chat
    cache_read_tokens:
      countAt(usage, 'prompt_tokens_details', 'cached_tokens') || countAt(usage, 'cached_tokens'),
    cache_write_5m_tokens: countAt(usage, 'prompt_tokens_details', 'cache_write_tokens'),
    input_audio_tokens: countAt(usage, 'prompt_tokens_details', 'audio_tokens'),
  })
  const audio = Math.min(countAt(usage, 'completion_tokens_details', 'audio_tokens'), output)
  const reasoning = countAt(usage, 'completion_tokens_details', 'reasoning_tokens')
  return {
    ...NO_READING,
    ...about,
    usage: {
      ...input.usage,
      output_tokens: output - audio,
      output_audio_tokens: audio,
      reasoning_tokens: Math.min(Math.max(reasoning, output - said), output - audio),
      requests: 1,
    },
    is_consistent: input.is_consistent,
    reported_cost_nanos: dialect.readCost(usage),
  }
}

type InputParts = Partial<
  Pick<
    Usage,
    'cache_read_tokens' | 'cache_write_5m_tokens' | 'input_audio_tokens' | 'input_image_tokens'
  >
>

/** Takes the parts out of a total that includes them; parts that do not fit are cut, and said so. */
export function splitInput(
  total: number,
  parts: InputParts,
): { usage: Usage; is_consistent: boolean } {
  let rest = total
  const fitting: { -readonly [Name in keyof InputParts]: number } = {}
  let is_consistent = true
  for (const [name, tokens] of Object.entries(parts) as [keyof InputParts, number][]) {
    const fits = Math.min(tokens, rest)
    if (fits < tokens) is_consistent = false
    fitting[name] = fits
    rest -= fits
  }
  return { usage: { ...NO_USAGE, ...fitting, uncached_input_tokens: rest }, is_consistent }
}

function readChatText(event: JsonObject): string {
  return listAt(event, 'choices')
    .map((choice) => {
      const delta = valueAt(choice, 'delta') ?? valueAt(choice, 'message')
      const calls = listAt(delta, 'tool_calls').map(
        (call) => textAt(call, 'function', 'arguments') ?? '',
      )
      return (
        (textAt(delta, 'content') ?? '') +
        (textAt(delta, 'reasoning_content') ?? textAt(delta, 'reasoning') ?? '') +
        calls.join('')
      )
    })
    .join('')
}

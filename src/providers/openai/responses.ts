import { NO_USAGE, type Usage } from '../../usage.ts'
import { isTold } from '../told.ts'
import {
  type Api,
  type Ask,
  capAt,
  countAt,
  isObject,
  type JsonObject,
  listAt,
  type Meter,
  NO_READING,
  type Reading,
  textAt,
  valueAt,
} from '../wire.ts'
import { type ChatDialect, listServerTools, OPENAI_CHAT, readBasics, splitInput } from './chat.ts'

/** Input that is not in the body: https://developers.openai.com/api/reference/resources/responses */
const STORED_INPUT = ['previous_response_id', 'conversation', 'prompt', 'container']
const UNBOUNDED_RESPONSES =
  /"(?:input_image|input_file|input_audio|image_url|file_id|file_url|item_reference|image_generation_call)"/

/** Tools without a fee, or with one that is counted. A container or a picture has a fee that no usage tells. */
const BOUNDED_TOOL =
  /^(?:web_search|file_search$|mcp$|computer|local_shell$|apply_patch$|tool_search$|namespace$)/
const FEE_ITEMS: readonly unknown[] = [
  'image_generation_call',
  'code_interpreter_call',
  'shell_call',
]

export function responsesApi({ readCost }: Pick<ChatDialect, 'readCost'>): Api {
  return {
    name: 'responses',
    readRequest: readResponses,
    answer_ids: [['response', 'id'], ['id']],
    markers: ['usage'],
    endings: ['response.completed', 'response.incomplete', 'response.failed'].flatMap((type) => [
      `"type":"${type}"`,
      `"type": "${type}"`,
    ]),
    createMeter: () => responsesMeter(readCost),
    readText: (event) =>
      textAt(event, 'delta') ??
      listAt(event, 'output')
        .flatMap((item) => listAt(item, 'content'))
        .map((part) => textAt(part, 'text') ?? '')
        .join(''),
    caps: [['max_output_tokens']],
    asks_for_usage: false,
    jobPath: (id) => `/${id}`,
    stream_error: 'responses',
  }
}

export const OPENAI_RESPONSES = responsesApi(OPENAI_CHAT)

/** Made smaller from a conversation, in one answer without a stream; its length has no cap. */
export const compactApi: Api = {
  ...OPENAI_RESPONSES,
  name: 'compact',
  readRequest: (body, text) => ({ ...readResponses(body, text), is_stream: false }),
  caps: [],
}

function readResponses(body: JsonObject, text: string): Ask {
  // Each makes the model read its input again.
  const server_tools = listServerTools([
    ...listAt(body, 'tools'),
    // Earlier turns can bring tools along.
    ...listAt(body, 'input').flatMap((item) => listAt(item, 'tools')),
  ])
  const has_tools = server_tools.length > 0
  const calls_max = capAt(body, 'max_tool_calls')
  const basics = readBasics(body)
  const uses_max = has_tools ? calls_max : 0
  // A compaction is an answer of its own.
  const compacts = (body['context_management'] ?? null) !== null ? 1 : 0
  // A stored prompt brings its own tools, which are not in the body.
  const is_open =
    basics.passes === null ||
    isObject(body['prompt']) ||
    searchesDearly(body) ||
    server_tools.some((type) => !BOUNDED_TOOL.test(String(type)))
  return {
    ...basics,
    output_tokens_max: capAt(body, 'max_output_tokens'),
    has_unbounded_input:
      has_tools ||
      STORED_INPUT.some((name) => (body[name] ?? null) !== null) ||
      UNBOUNDED_RESPONSES.test(text),
    passes: is_open || uses_max === null ? null : 1 + uses_max + compacts,
    units: [
      ...(server_tools.some((type) => String(type).startsWith('web_search'))
        ? [{ unit: 'web_search' as const, max: calls_max }]
        : []),
      ...(server_tools.includes('file_search')
        ? [{ unit: 'file_search' as const, max: calls_max }]
        : []),
    ],
    is_background: body['background'] === true,
  }
}

/** The older search costs 2.5 × as much with a model that does not reason: https://developers.openai.com/api/docs/pricing */
function searchesDearly(body: JsonObject): boolean {
  return (
    /^(?:gpt-4|chatgpt-4)/.test(textAt(body, 'model') ?? '') &&
    listAt(body, 'tools').some((tool) => textAt(tool, 'type')?.startsWith('web_search_preview'))
  )
}

/** Whatever job it is, it changes no more. */
export const OVER = ['completed', 'incomplete', 'failed', 'cancelled', 'expired']

/** Takes the response itself, or events that carry it; only a finished one has usage. */
function responsesMeter(readCost: ChatDialect['readCost']): Meter {
  let latest: Reading | null = null
  let job: ReturnType<Meter['job']> = null
  return {
    take(value) {
      const response = isObject(value['response']) ? value['response'] : value
      const id = textAt(response, 'id')
      const status = textAt(response, 'status')
      if (id && status) job = { id, is_over: OVER.includes(status) }
      const usage = response['usage']
      if (isObject(usage) && isTold(usage, ['input_tokens', 'output_tokens']))
        latest = { ...responsesReading(response, usage), reported_cost_nanos: readCost(usage) }
    },
    reading: () => latest,
    isFinal: () => latest !== null,
    job: () => job,
  }
}

function responsesReading(response: JsonObject, usage: JsonObject): Reading {
  const about = {
    ...NO_READING,
    model: textAt(response, 'model'),
    service_tier: textAt(response, 'service_tier'),
  }
  const counted = readTokens(usage)
  const output = listAt(response, 'output')
  const searches = output.filter(
    (item) =>
      textAt(item, 'type') === 'web_search_call' &&
      (textAt(item, 'action', 'type') ?? 'search') === 'search',
  ).length
  const file_searches = output.filter((item) => textAt(item, 'type') === 'file_search_call').length
  const unit = searches > 0 ? 'web_search' : file_searches > 0 ? 'file_search' : null
  const main = {
    ...about,
    usage: { ...counted.usage, requests: 1, unit, units: searches || file_searches } as const,
    // What runs in a container or draws is billed apart: the tokens alone are too little.
    is_consistent:
      counted.is_consistent &&
      !output.some((item) => FEE_ITEMS.includes(valueAt(item, 'type'))) &&
      !(searches > 0 && searchesDearly(response)),
  }
  if (searches === 0 || file_searches === 0) return main
  const files = { ...NO_USAGE, requests: 0, unit: 'file_search', units: file_searches } as const
  return { ...main, beside: [{ ...about, usage: files }] }
}

/** `input_tokens` includes what was cached, `output_tokens` the reasoning. */
export function readTokens(usage: JsonObject): { usage: Usage; is_consistent: boolean } {
  const output = countAt(usage, 'output_tokens')
  const input = splitInput(countAt(usage, 'input_tokens'), {
    cache_read_tokens: countAt(usage, 'input_tokens_details', 'cached_tokens'),
    cache_write_5m_tokens: countAt(usage, 'input_tokens_details', 'cache_write_tokens'),
  })
  const reasoning = countAt(usage, 'output_tokens_details', 'reasoning_tokens')
  return {
    usage: {
      ...input.usage,
      output_tokens: output,
      reasoning_tokens: Math.min(reasoning, output),
    },
    is_consistent: input.is_consistent,
  }
}

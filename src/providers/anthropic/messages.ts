import { NO_USAGE, type Usage } from '../../usage.ts'
import { isTold } from '../told.ts'
import {
  type Api,
  type Ask,
  type BatchRequest,
  capAt,
  countAt,
  isObject,
  type JsonObject,
  listAt,
  type Meter,
  NO_ASK,
  NO_READING,
  type Reading,
  textAt,
  valueAt,
} from '../wire.ts'

const UNBOUNDED_MESSAGES =
  /"(?:image|document|file|file_id|container|container_upload|mcp_servers|search_result)"/
/** Tools that run at the client; every other kind the provider runs: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview */
const CLIENT_TOOL = /^(?:custom$|bash_|text_editor_|computer_|memory_|browser_toolset_)/

export const messagesApi: Api = {
  name: 'messages',
  readRequest: readMessages,
  answer_ids: [['message', 'id'], ['id']],
  markers: ['usage'],
  endings: ['"type":"message_stop"', '"type": "message_stop"'],
  createMeter: ({ model }) => messagesMeter(model),
  readText: (event) =>
    textAt(event, 'delta', 'text') ??
    textAt(event, 'delta', 'thinking') ??
    textAt(event, 'delta', 'partial_json') ??
    listAt(event, 'content')
      .map((block) => textAt(block, 'text') ?? '')
      .join(''),
  caps: [['max_tokens']],
  asks_for_usage: false,
  stream_error: 'anthropic',
}

function readMessages(body: JsonObject, text: string): Ask {
  const tools = listTools(body).filter(
    (tool) => !CLIENT_TOOL.test(textAt(tool, 'type') ?? 'custom'),
  )
  const has_server_tools = tools.length > 0 || listAt(body, 'mcp_servers').length > 0
  const uses = tools.map((tool) => capAt(tool, 'max_uses'))
  const is_limited = uses.every((max) => max !== null) && listAt(body, 'mcp_servers').length === 0
  const uses_max = is_limited ? uses.reduce((sum, max) => sum + (max ?? 0), 0) : null
  const searches = tools.filter((tool) => textAt(tool, 'type')?.startsWith('web_search'))
  // An advisor and a fallback are other models, with prices of their own; "default" is any.
  const other_models = [
    ...tools,
    ...listAt(body, 'fallbacks'),
    { model: body['fallbacks'] },
  ].flatMap((one) => textAt(one, 'model') ?? [])
  // A compaction runs before the answer: https://platform.claude.com/docs/en/build-with-claude/compaction
  const compacts = (body['context_management'] ?? body['compaction'] ?? null) !== null ? 1 : 0
  // It can be continued from another message, whose history and tools are not in the body.
  const is_continued = (textAt(body, 'thread', 'type') ?? 'create') !== 'create'
  return {
    ...NO_ASK,
    model: textAt(body, 'model'),
    is_stream: body['stream'] === true,
    output_tokens_max: capAt(body, 'max_tokens'),
    has_unbounded_input: has_server_tools || UNBOUNDED_MESSAGES.test(text),
    other_models,
    passes:
      uses_max === null || is_continued || other_models.length > 0 ? null : 1 + uses_max + compacts,
    cache_write: cacheWrite(text),
    units:
      searches.length > 0 ? [{ unit: 'web_search', max: is_limited ? sumOf(searches) : null }] : [],
    service_tier: textAt(body, 'service_tier'),
    speed: body['speed'] === 'fast' ? 'fast' : null,
    inference_geo: textAt(body, 'inference_geo'),
    ...whoAsks(textAt(body, 'metadata', 'user_id')),
  }
}

/** Those of the request, and those that a message or a compaction adds. */
function listTools(body: JsonObject): unknown[] {
  const added = listAt(body, 'messages')
    .flatMap((message) => listAt(message, 'content'))
    .flatMap((block) => [block, ...listAt(block, 'tool_changes')])
    .map((block) => valueAt(block, 'tool', 'definition'))
  return [...listAt(body, 'tools'), ...added.filter(isObject)]
}

function sumOf(tools: readonly unknown[]): number {
  return tools.reduce((sum: number, tool) => sum + (capAt(tool, 'max_uses') ?? 0), 0)
}

function cacheWrite(text: string): Ask['cache_write'] {
  if (!text.includes('"cache_control"') && !text.includes('\\u')) return null
  return /"1h"|\\u/.test(text) ? '1h' : '5m'
}

/** Claude Code puts its session into the user id: as JSON, or in older versions after `_session_`. */
function whoAsks(user_id: string | null): Pick<Ask, 'user' | 'session'> {
  if (user_id === null) return { user: null, session: null }
  const session =
    /"session_id"\s*:\s*"([\w-]{8,64})"/.exec(user_id)?.[1] ??
    /_session_([\w-]{8,64})$/.exec(user_id)?.[1]
  return session ? { user: null, session } : { user: user_id, session: null }
}

/**
 * A stream says its usage at the start and again, cumulated, in each delta: what a delta leaves out stays.
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
function messagesMeter(asked: string | null): Meter {
  let model: string | null = null
  let usage: { [name: string]: unknown } | undefined
  let is_final = false
  return {
    take(value) {
      const message = isObject(value['message']) ? value['message'] : value
      model = textAt(message, 'model') ?? model
      const said = message['usage']
      if (!isObject(said)) return
      usage ??= {}
      is_final ||= (textAt(value, 'delta', 'stop_reason') ?? textAt(value, 'stop_reason')) !== null
      for (const [name, one] of Object.entries(said))
        if (one !== null && one !== undefined) usage[name] = one
    },
    reading: () =>
      usage !== undefined && isTold(usage, ['input_tokens', 'output_tokens'])
        ? messagesReading(usage, model, asked)
        : null,
    isFinal: () => is_final,
    job: () => null,
  }
}

/** `input_tokens` is the uncached part alone. `asked` may differ from the model that answered. */
function messagesReading(usage: JsonObject, model: string | null, asked: string | null): Reading {
  const about = {
    ...NO_READING,
    service_tier: textAt(usage, 'service_tier'),
    speed: usage['speed'] === 'fast' ? ('fast' as const) : null,
    inference_geo: textAt(usage, 'inference_geo'),
  }
  const searches = countAt(usage, 'server_tool_use', 'web_search_requests')
  const by_model = new Map<string | null, Usage>()
  for (const one of listBilled(usage)) {
    const served = one === usage || one['type'] === 'fallback_message' ? model : (asked ?? model)
    const name = textAt(one, 'model') ?? served
    by_model.set(name, addUsage(by_model.get(name) ?? NO_USAGE, countTokens(one)))
  }
  const own = by_model.get(model) ?? NO_USAGE
  by_model.delete(model)
  return {
    ...about,
    model,
    usage: {
      ...own,
      requests: 1,
      unit: searches > 0 ? 'web_search' : null,
      units: searches,
    },
    beside: [...by_model].map(([name, other]) => ({
      ...about,
      model: name,
      usage: { ...other, requests: 0 },
    })),
  }
}

/**
 * Iterations of type `compaction` are billed on top of the top-level counts:
 * https://platform.claude.com/docs/en/build-with-claude/compaction. Where an advisor or a fallback was at work,
 * each iteration is billed at the price of its own model, and the top level is not the whole of it:
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool
 */
function listBilled(usage: JsonObject): readonly JsonObject[] {
  const iterations = listAt(usage, 'iterations').filter(isObject)
  const is_shared = iterations.some(
    ({ type }) => type === 'advisor_message' || type === 'fallback_message',
  )
  return is_shared ? iterations : [usage, ...iterations.filter(({ type }) => type === 'compaction')]
}

function countTokens(usage: JsonObject): Usage {
  const written = countAt(usage, 'cache_creation_input_tokens')
  const for_1h = countAt(usage, 'cache_creation', 'ephemeral_1h_input_tokens')
  const for_5m = countAt(usage, 'cache_creation', 'ephemeral_5m_input_tokens')
  // Without a split everything lives five minutes; so does what grew after the split was said.
  const total = Math.max(written, for_1h + for_5m)
  const output = countAt(usage, 'output_tokens')
  return {
    ...NO_USAGE,
    uncached_input_tokens: countAt(usage, 'input_tokens'),
    cache_read_tokens: countAt(usage, 'cache_read_input_tokens'),
    cache_write_5m_tokens: total - for_1h,
    cache_write_1h_tokens: for_1h,
    output_tokens: output,
    reasoning_tokens: Math.min(countAt(usage, 'output_tokens_details', 'thinking_tokens'), output),
  }
}

function addUsage(a: Usage, b: Usage): Usage {
  return {
    ...a,
    uncached_input_tokens: a.uncached_input_tokens + b.uncached_input_tokens,
    cache_read_tokens: a.cache_read_tokens + b.cache_read_tokens,
    cache_write_5m_tokens: a.cache_write_5m_tokens + b.cache_write_5m_tokens,
    cache_write_1h_tokens: a.cache_write_1h_tokens + b.cache_write_1h_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    reasoning_tokens: a.reasoning_tokens + b.reasoning_tokens,
    unit: a.unit ?? b.unit,
    units: a.units + b.units,
  }
}

/** Half price, and the usage stands in the lines of the results file. */
export const messageBatchApi: Api = {
  ...messagesApi,
  name: 'message_batch',
  readRequest(body) {
    const requests = listAt(body, 'requests').map(readBatched)
    const [model = null] = requests.map(({ ask }) => ask.model)
    return {
      ...NO_ASK,
      model: requests.every(({ ask }) => ask.model === model) ? model : null,
      passes: null,
      service_tier: 'batch',
      is_background: true,
      estimate: { usage: {}, is_exact: false },
      batch: { requests },
    }
  },
  caps: [],
  createMeter: batchMeter,
  jobPath: (id) => `/${id}/results`,
}

function readBatched(one: unknown): BatchRequest {
  const params = valueAt(one, 'params')
  const body = isObject(params) ? params : {}
  const text = JSON.stringify(body)
  const ask = { ...readMessages(body, text), service_tier: 'standard' }
  return { ask, body, body_bytes: Buffer.byteLength(text) }
}

/** Takes the lines of a results file, each with the message of one request of the batch. */
function batchMeter(): Meter {
  const by_model = new Map<string, Usage>()
  let has_results = false
  let job: ReturnType<Meter['job']> = null
  return {
    take(value) {
      const id = textAt(value, 'id')
      // The file exists once the batch has ended; the batch itself says nothing of usage.
      if (id && value['type'] === 'message_batch') job = { id, is_over: false }
      has_results ||= isObject(value['result'])
      const message = valueAt(value, 'result', 'message')
      const usage = valueAt(message, 'usage')
      const model = textAt(message, 'model')
      if (!isObject(usage) || model === null) return
      const { beside, ...main } = messagesReading(usage, model, null)
      for (const one of [main, ...beside]) {
        const name = one.model ?? model
        const sum = by_model.get(name) ?? { ...NO_USAGE, requests: 0 }
        const requests = requestsOf(sum) + requestsOf(one.usage)
        by_model.set(name, { ...addUsage(sum, one.usage), requests })
      }
    },
    reading() {
      const [first, ...others] = [...by_model].map(([model, usage]) => ({
        ...NO_READING,
        model,
        usage,
        service_tier: 'batch',
      }))
      if (first) return { ...first, beside: others }
      // Requests that failed, expired or were cancelled are not billed.
      return has_results ? { ...NO_READING, service_tier: 'batch' } : null
    },
    isFinal: () => has_results,
    job: () => job,
  }
}

function requestsOf({ requests }: Usage): number {
  return requests ?? 0
}

import {
  type Api,
  type BatchRequest,
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
import { chatApi, completionsApi, OPENAI_CHAT } from './chat.ts'
import { embeddingsApi } from './media.ts'
import { OPENAI_RESPONSES, OVER, readTokens } from './responses.ts'

/** A batch says its usage when it is over, at half price: https://developers.openai.com/api/docs/guides/batch */
export const batchApi: Api = {
  ...OPENAI_RESPONSES,
  name: 'batch',
  readRequest: (body) => ({
    ...NO_ASK,
    model: textAt(body, 'model'),
    passes: null,
    service_tier: 'batch',
    is_background: true,
    estimate: { usage: {}, is_exact: false },
    batch: { file_id: textAt(body, 'input_file_id') ?? '' },
  }),
  createMeter: batchMeter,
  jobPath: (id) => `/${id}`,
  caps: [],
}

/** The file of a batch's requests: what they can cost is known only while it is uploaded. */
export const filesApi: Api = {
  ...batchApi,
  name: 'files',
  markers: [],
  createMeter: fileMeter,
  readUpload(form) {
    const content = valueAt(form, 'file', 'content')
    return textAt(form, 'purpose') === 'batch' && Buffer.isBuffer(content)
      ? readLines(content)
      : null
  },
}

const LINE_APIS: Readonly<Record<string, Api>> = {
  '/v1/chat/completions': chatApi(OPENAI_CHAT),
  '/v1/completions': completionsApi(OPENAI_CHAT),
  '/v1/responses': OPENAI_RESPONSES,
  '/v1/embeddings': embeddingsApi,
}

const NEWLINE = 0x0a

function* readLines(content: Buffer): Generator<BatchRequest | null> {
  for (let at = 0; at < content.length; ) {
    const found = content.indexOf(NEWLINE, at)
    const end = found < 0 ? content.length : found
    const line = content.subarray(at, end)
    at = end + 1
    if (line.toString('latin1').trim() !== '') yield readLine(line)
  }
}

/** Null: a line that no rule bounds. It is read from what it says once parsed, whatever stood twice. */
function readLine(line: Buffer): BatchRequest | null {
  let value: unknown
  try {
    value = JSON.parse(line.toString())
  } catch {
    return null
  }
  const body = valueAt(value, 'body')
  const api = LINE_APIS[textAt(value, 'url') ?? '']
  if (!isObject(body) || !api) return null
  const ask = api.readRequest(body, JSON.stringify(body), {})
  return { ask: { ...ask, service_tier: 'standard' }, body, body_bytes: line.length, bytes: line }
}

function batchMeter(): Meter {
  let latest: Reading | null = null
  let job: ReturnType<Meter['job']> = null
  return {
    take(value) {
      const id = textAt(value, 'id')
      const status = textAt(value, 'status')
      const is_over = status !== null && OVER.includes(status)
      if (id && valueAt(value, 'object') === 'batch') job = { id, is_over }
      const usage = value['usage']
      if (is_over && isObject(usage) && countAt(usage, 'total_tokens') > 0)
        latest = {
          ...NO_READING,
          model: textAt(value, 'model'),
          service_tier: 'batch',
          ...withRequests(readTokens(usage), countAt(value, 'request_counts', 'completed')),
        }
    },
    reading: () => latest,
    isFinal: () => latest !== null,
    job: () => job,
  }
}

function withRequests(counted: ReturnType<typeof readTokens>, requests: number) {
  return { ...counted, usage: { ...counted.usage, requests: Math.max(requests, 1) } }
}

function fileMeter(): Meter {
  let job: ReturnType<Meter['job']> = null
  return {
    take(value: JsonObject) {
      const id = textAt(value, 'id')
      if (id && listAt(value, 'data').length === 0) job = { id, is_over: false }
    },
    reading: () => null,
    isFinal: () => false,
    job: () => job,
  }
}

import { isTold } from '../told.ts'
import {
  type Api,
  countAt,
  createMeter,
  isObject,
  type JsonObject,
  largestCap,
  listAt,
  type Meter,
  textAt,
  valueAt,
} from '../wire.ts'
import { CAPS, generateApi, generateReading, readGenerate } from './generate.ts'

/** https://ai.google.dev/gemini-api/docs/interactions: thoughts and output are counted apart. */
export const interactionsApi: Api = {
  ...generateApi,
  name: 'interactions',
  readRequest: (body, text) => ({
    ...readGenerate(body, text, {}),
    is_stream: body['stream'] === true,
    has_unbounded_input: true,
    passes:
      listAt(body, 'tools').length > 0 || (body['agent'] ?? body['environment'] ?? null) !== null
        ? null
        : 1,
    modalities: ['audio', 'image'],
    output_tokens_max: largestCap(body, CAPS),
    is_background: body['background'] === true,
  }),
  answer_ids: [['interaction', 'id'], ['id']],
  markers: ['usage'],
  endings: ['"event_type":"interaction.completed"'],
  createMeter: interactionsMeter,
  readText: (event) => textAt(event, 'delta', 'text') ?? '',
  caps: CAPS.toReversed(),
  jobPath: (id) => `/${id}`,
}

function modalityTokens(usage: JsonObject, field: string) {
  return listAt(usage, field).map((one) => ({
    modality: textAt(one, 'modality')?.toUpperCase(),
    tokenCount: valueAt(one, 'tokens'),
  }))
}

function groundings(usage: JsonObject, type: string): number {
  return listAt(usage, 'grounding_tool_count')
    .filter((one) => textAt(one, 'type') === type)
    .reduce((sum: number, one) => sum + countAt(one, 'count'), 0)
}

const OVER = ['completed', 'failed', 'cancelled', 'incomplete']

function interactionsMeter(): Meter {
  const bodyOf = (value: JsonObject) =>
    isObject(value['interaction']) ? value['interaction'] : value
  return createMeter(
    (value) => {
      const body = bodyOf(value)
      const usage = body['usage']
      if (!isObject(usage) || !isTold(usage, ['total_input_tokens', 'total_output_tokens']))
        return null
      const tokens = {
        promptTokenCount: countAt(usage, 'total_input_tokens'),
        cachedContentTokenCount: countAt(usage, 'total_cached_tokens'),
        candidatesTokenCount: countAt(usage, 'total_output_tokens'),
        thoughtsTokenCount: countAt(usage, 'total_thought_tokens'),
        toolUsePromptTokenCount: countAt(usage, 'total_tool_use_tokens'),
        promptTokensDetails: modalityTokens(usage, 'input_tokens_by_modality'),
        cacheTokensDetails: modalityTokens(usage, 'cached_tokens_by_modality'),
        candidatesTokensDetails: modalityTokens(usage, 'output_tokens_by_modality'),
        serviceTier: body['service_tier'],
      }
      const reading = generateReading(
        tokens,
        textAt(body, 'model'),
        groundings(usage, 'google_search'),
      )
      return groundings(usage, 'google_maps') > 0 ? { ...reading, is_consistent: false } : reading
    },
    (value) => {
      const id = textAt(bodyOf(value), 'id')
      const status = textAt(bodyOf(value), 'status')
      return id && status ? { id, is_over: OVER.includes(status) } : null
    },
  )
}

import type { Client, MetricMap, RequestMap } from './client.ts'
import { GENAI_MODEL, GENAI_OPERATIONS, GENAI_USAGE } from './genai-names.ts'

const NEEDS = [...GENAI_USAGE.input, ...GENAI_USAGE.output]

const REQUEST: RequestMap = {
  needs: NEEDS,
  model: GENAI_MODEL,
  usage: GENAI_USAGE,
  // What an instrumentation says of the cost: pydantic-ai, and gateways that bill it.
  cost_usd: ['gen_ai.usage.cost', 'operation.cost'],
  response_id: ['gen_ai.response.id'],
  identity: [['gen_ai.response.id', 'gen_ai.operation.name'], [...GENAI_MODEL]],
}

const OPERATION = { 'gen_ai.operation.name': GENAI_OPERATIONS }

/** The span of one request. */
export const chatSpan: RequestMap = { ...REQUEST, where: OPERATION }

/** The event repeats the span: https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-events.md */
export const detailsEvent: RequestMap = {
  ...REQUEST,
  names: ['gen_ai.client.inference.operation.details'],
  where: OPERATION,
  is_fallback: true,
}

const MODEL = ['gen_ai.response.model', 'gen_ai.request.model']

/** Counters, or the histogram that they replace: two ways to tell the same. */
export const genaiMetrics: readonly MetricMap[] = [
  {
    names: ['gen_ai.client.token.usage'],
    measure: {
      by: 'gen_ai.token.type',
      of: { input: 'input', output: 'output', completion: 'output' },
    },
    model: MODEL,
    telling: 'histogram',
  },
  ...(
    [
      ['input_tokens', 'input'],
      ['output_tokens', 'output'],
      ['cache_read.input_tokens', 'cache_read'],
      ['cache_write.input_tokens', 'cache_write'],
      ['reasoning.output_tokens', 'reasoning'],
    ] as const
  ).map(
    ([name, measure]): MetricMap => ({
      names: [`gen_ai.client.inference.usage.${name}`],
      measure,
      model: MODEL,
      telling: 'counters',
    }),
  ),
]

/** Whatever follows the OpenTelemetry conventions, in any of their generations. */
export const genai: Client = {
  id: null,
  event: /^gen_ai\.client\./,
  attributes: [
    'gen_ai.operation.name',
    'gen_ai.system',
    'gen_ai.provider.name',
    'llm.request.type',
    'langsmith.span.kind',
  ],
  provider: 'unknown',
  logs: [detailsEvent],
  spans: [
    chatSpan,
    { ...REQUEST, where: { 'llm.request.type': ['chat', 'completion', 'embedding'] } },
    { ...REQUEST, where: { 'langsmith.span.kind': ['llm', 'embedding'] } },
  ],
  metrics: genaiMetrics,
  formula: { input_includes_cache: true, output_includes_reasoning: true },
}

import { OPENAI_CHAT } from '../openai/chat.ts'
import { openaiRoutes, openaiSurface } from '../openai/wire.ts'
import type { ErrorFormat, ProblemKind, Route, Wire } from '../wire.ts'
import { embedApi, generateApi } from './generate.ts'
import { interactionsApi } from './interactions.ts'

/** https://ai.google.dev/gemini-api/docs/troubleshooting and https://google.aip.dev/193 */
const STATUSES: Readonly<Record<ProblemKind, readonly [status: number, name: string]>> = {
  budget_exceeded: [429, 'RESOURCE_EXHAUSTED'],
  // The real API answers 400, not 401, to a bad key.
  key_unknown: [400, 'INVALID_ARGUMENT'],
  key_revoked: [400, 'INVALID_ARGUMENT'],
  not_allowed: [403, 'PERMISSION_DENIED'],
  model_unpriced: [400, 'INVALID_ARGUMENT'],
  rate_limited: [429, 'RESOURCE_EXHAUSTED'],
  bad_request: [400, 'INVALID_ARGUMENT'],
  too_large: [413, 'INVALID_ARGUMENT'],
  encoding_unsupported: [415, 'INVALID_ARGUMENT'],
  not_found: [404, 'NOT_FOUND'],
  upgrade_refused: [426, 'FAILED_PRECONDITION'],
  upstream_key_refused: [401, 'UNAUTHENTICATED'],
  upstream_unreachable: [502, 'UNAVAILABLE'],
  unavailable: [503, 'UNAVAILABLE'],
}

const TYPE = 'type.googleapis.com/google.rpc.'

const errors: ErrorFormat = {
  statuses: Object.fromEntries(
    Object.entries(STATUSES).map(([kind, [status]]) => [kind, status]),
  ) as ErrorFormat['statuses'],
  body(problem) {
    const [code, status] = STATUSES[problem.kind]
    return { error: { code, message: problem.message, status, details: detailsOf(problem) } }
  },
}

/** Clients retry a quota by the minute and stop at a quota by the day. */
function detailsOf({ kind, retry_after_s = 1 }: Parameters<ErrorFormat['body']>[0]) {
  if (kind === 'budget_exceeded') {
    const violation = { quotaMetric: 'outlay/budget', quotaId: 'OutlayBudgetPerDay' }
    return [{ '@type': `${TYPE}QuotaFailure`, violations: [violation] }]
  }
  if (kind === 'rate_limited')
    return [{ '@type': `${TYPE}RetryInfo`, retryDelay: `${retry_after_s}s` }]
  if (kind === 'key_unknown' || kind === 'key_revoked')
    return [{ '@type': `${TYPE}ErrorInfo`, reason: 'API_KEY_INVALID', domain: 'googleapis.com' }]
  return []
}

const MODEL = '(?:models|tunedModels)/(?<model>[\\w@][\\w.@-]*)'
const VERSION = '^/v1(?:beta|alpha)?/'

function method(name: string): RegExp {
  return new RegExp(`${VERSION}${MODEL}:(?<method>${name})$`)
}

const STORAGE = 'it is billed by the hour of storage, which no request shows'

const routes: readonly Route[] = [
  {
    method: 'POST',
    path: method('generateContent|streamGenerateContent'),
    rule: 'metered',
    api: generateApi,
  },
  { method: 'POST', path: method('countTokens'), rule: 'free' },
  {
    method: 'POST',
    path: method('embedContent|batchEmbedContents'),
    rule: 'metered',
    api: embedApi,
  },
  { method: 'GET', path: new RegExp(`${VERSION}(?:models|tunedModels)$`), rule: 'free' },
  { method: 'GET', path: new RegExp(`${VERSION}${MODEL}$`), rule: 'free' },
  {
    method: 'POST',
    path: new RegExp(`${VERSION}interactions$`),
    rule: 'metered',
    api: interactionsApi,
  },
  {
    method: 'GET',
    path: new RegExp(`${VERSION}interactions/(?<id>[A-Za-z0-9][\\w.-]*)$`),
    rule: 'told_later',
    api: interactionsApi,
  },
  {
    method: 'POST',
    path: new RegExp(`${VERSION}cachedContents`),
    rule: 'refused',
    reason: STORAGE,
  },
]

/** https://ai.google.dev/gemini-api/docs/models */
function limitsOf(model: string): { context: number; output: number } {
  if (/embedding/.test(model)) return { context: 2_048 * EMBEDDINGS_MAX, output: 0 }
  return { context: 1_048_576, output: 65_536 }
}

/** Requests in one batch: https://ai.google.dev/api/embeddings */
const EMBEDDINGS_MAX = 100

export const googleWire: Wire = {
  base_url: 'https://generativelanguage.googleapis.com',
  surfaces: [
    {
      ...openaiSurface,
      prefix: '/v1beta/openai',
      repairPath: (path) => path.replace(/\/+$/, ''),
      routes: openaiRoutes({
        ...OPENAI_CHAT,
        completion_tokens_default: null,
        is_output_from_total: true,
      }).map((route) => ({
        ...route,
        path: new RegExp(route.path.source.replace('^', '^\\/v1beta\\/openai')),
      })),
      limitsOf,
    },
    {
      prefix: '/',
      repairPath: (path) => path,
      authorize: (secret) => ['x-goog-api-key', secret],
      account_headers: [],
      poll_headers: {},
      request_id_header: 'x-request-id',
      errors,
      routes,
      root: {
        api: generateApi,
        locate: ({ model, is_stream }) => ({
          path: `/v1beta/models/${model}:${is_stream ? 'streamGenerateContent' : 'generateContent'}`,
          query: is_stream ? '?alt=sse' : '',
          drop: ['model', 'stream'],
        }),
      },
      limitsOf,
    },
  ],
}

import type { ErrorFormat, ProblemKind, Route, Wire } from '../wire.ts'
import { messageBatchApi, messagesApi } from './messages.ts'

/** https://platform.claude.com/docs/en/api/errors */
const TYPES: Readonly<Record<ProblemKind, readonly [status: number, type: string]>> = {
  budget_exceeded: [402, 'billing_error'],
  key_unknown: [401, 'authentication_error'],
  key_revoked: [401, 'authentication_error'],
  not_allowed: [403, 'permission_error'],
  model_unpriced: [400, 'invalid_request_error'],
  rate_limited: [429, 'rate_limit_error'],
  bad_request: [400, 'invalid_request_error'],
  too_large: [413, 'request_too_large'],
  encoding_unsupported: [415, 'invalid_request_error'],
  not_found: [404, 'not_found_error'],
  upgrade_refused: [426, 'invalid_request_error'],
  upstream_key_refused: [401, 'authentication_error'],
  upstream_unreachable: [502, 'api_error'],
  unavailable: [503, 'api_error'],
}

const errors: ErrorFormat = {
  statuses: Object.fromEntries(
    Object.entries(TYPES).map(([kind, [status]]) => [kind, status]),
  ) as ErrorFormat['statuses'],
  body: ({ kind, message }, request_id) => ({
    type: 'error',
    error: { type: TYPES[kind][1], message },
    request_id,
  }),
}

const ID = '(?<id>[A-Za-z0-9][\\w.-]*)'
const BATCH = `^/v1/messages/batches/${ID}`

const routes: readonly Route[] = [
  { method: 'POST', path: /^\/v1\/messages$/, rule: 'metered', api: messagesApi },
  { method: 'POST', path: /^\/v1\/messages\/count_tokens$/, rule: 'free' },
  { method: 'POST', path: /^\/v1\/messages\/batches$/, rule: 'metered', api: messageBatchApi },
  { method: 'GET', path: /^\/v1\/messages\/batches$/, rule: 'free' },
  { method: 'GET', path: new RegExp(`${BATCH}$`), rule: 'told_later', api: messageBatchApi },
  {
    method: 'GET',
    path: new RegExp(`${BATCH}/results$`),
    rule: 'told_later',
    api: messageBatchApi,
  },
  {
    method: 'POST',
    path: new RegExp(`${BATCH}/cancel$`),
    rule: 'told_later',
    api: messageBatchApi,
  },
  { method: 'DELETE', path: new RegExp(`${BATCH}$`), rule: 'free' },
  { method: 'GET', path: /^\/v1\/models$/, rule: 'free' },
  { method: 'GET', path: /^\/v1\/models\/(?<model>[\w@][\w.@:-]*)$/, rule: 'free' },
  { method: 'POST', path: /^\/v1\/files$/, rule: 'free' },
  { method: 'GET', path: /^\/v1\/files$/, rule: 'free' },
  { method: 'GET', path: new RegExp(`^/v1/files/${ID}(?:/content)?$`), rule: 'free' },
  { method: 'DELETE', path: new RegExp(`^/v1/files/${ID}$`), rule: 'free' },
]

/** From this version on the official clients send the key as a bearer token. */
const BEARER_SINCE = '2026-10-21'

/** https://platform.claude.com/docs/en/about-claude/models/overview */
const LARGEST = { context: 1_000_000, output: 128_000 }

export const anthropicWire: Wire = {
  base_url: 'https://api.anthropic.com',
  surfaces: [
    {
      prefix: '/',
      // Clients put `/v1` into the base URL or leave it out, and some do both.
      repairPath: (path) => {
        const below = path.replace(/^(?:\/v1(?=\/|$))+/, '')
        return below === '' || below === '/' ? '/' : `/v1${below}`
      },
      authorize: (secret, header) =>
        (header('anthropic-version') ?? '') >= BEARER_SINCE
          ? ['authorization', `Bearer ${secret}`]
          : ['x-api-key', secret],
      account_headers: [],
      poll_headers: { 'anthropic-version': '2023-06-01' },
      request_id_header: 'request-id',
      errors,
      routes,
      limitsOf: () => LARGEST,
    },
  ],
}

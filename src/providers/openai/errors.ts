import type { ErrorFormat, ProblemKind } from '../wire.ts'

/** What the official SDK raises by: https://developers.openai.com/api/docs/guides/error-codes */
const CODES: Readonly<Record<ProblemKind, readonly [type: string, code: string]>> = {
  budget_exceeded: ['insufficient_quota', 'insufficient_quota'],
  key_unknown: ['invalid_request_error', 'invalid_api_key'],
  key_revoked: ['invalid_request_error', 'invalid_api_key'],
  not_allowed: ['invalid_request_error', 'not_allowed'],
  model_unpriced: ['invalid_request_error', 'model_unpriced'],
  rate_limited: ['requests', 'rate_limit_exceeded'],
  bad_request: ['invalid_request_error', 'invalid_request'],
  too_large: ['invalid_request_error', 'request_too_large'],
  encoding_unsupported: ['invalid_request_error', 'unsupported_encoding'],
  not_found: ['invalid_request_error', 'unknown_url'],
  upgrade_refused: ['invalid_request_error', 'websocket_not_supported'],
  upstream_key_refused: ['invalid_request_error', 'upstream_key_refused'],
  upstream_unreachable: ['server_error', 'upstream_unreachable'],
  unavailable: ['server_error', 'unavailable'],
}

export const openaiErrors: ErrorFormat = {
  statuses: {
    budget_exceeded: 429,
    key_unknown: 401,
    key_revoked: 401,
    not_allowed: 403,
    model_unpriced: 400,
    rate_limited: 429,
    bad_request: 400,
    too_large: 413,
    encoding_unsupported: 415,
    not_found: 404,
    upgrade_refused: 426,
    upstream_key_refused: 401,
    upstream_unreachable: 502,
    unavailable: 503,
  },
  body({ kind, message }) {
    const [type, code] = CODES[kind]
    return { error: { message, type, param: null, code } }
  },
}

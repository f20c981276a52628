/** The beginnings of provider keys, wrapped keys and access tokens, with enough behind them to be one. */
const SECRET = /\b(?:sk-|AIza|gsk_|xai-|olk_|olt_)[\w-]{16,}/g

/**
 * The caller can fix it: the message is shown as it is, names the thing and says what to do next. A key
 * that was given where a name belongs is not named.
 */
export class UserError extends Error {
  override readonly name = 'UserError'

  constructor(message: string, options?: ErrorOptions) {
    super(message.replace(SECRET, '[secret]'), options)
  }
}

/**
 * A provider answered badly or not at all. `message` is ours; a provider's own text is never in it,
 * since it can carry prompts or keys.
 */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly provider: string
  /** HTTP status; 0 when no answer came. */
  readonly status: number
  readonly detail: UpstreamDetail

  constructor(provider: string, status: number, message: string, detail: UpstreamDetail = {}) {
    super(message, { cause: detail.cause })
    this.provider = provider
    this.status = status
    this.detail = detail
  }
}

export type UpstreamDetail = {
  /** The provider's machine-readable code, e.g. `organization_not_enrolled_in_beta`. */
  readonly code?: string | undefined
  /** The parameter that the provider objected to, e.g. `start_time`. */
  readonly param?: string | undefined
  readonly request_id?: string | undefined
  readonly retry_after_ms?: number | undefined
  /** The provider's own word on whether to try again. */
  readonly should_retry?: boolean | undefined
  readonly cause?: unknown
}

/** The first line of an error's message, safe for a log: defects only, never an upstream body. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
}

import { MINUTE_MS } from '../clock.ts'
import type { UpstreamError } from '../errors.ts'
import type { Provider } from '../providers/provider.ts'
import { DIRECTORY_STREAM, type Problem } from './stream.ts'

const AUTH_RETRY_MS = 60 * MINUTE_MS
const FAILURE_RETRY_MAX_MS = 60 * MINUTE_MS

/** What a stream's failure means: its new state, when to try again, and a sentence for a person. */
export type Failure = Problem & {
  /** Figures are read all the same; only names are missing. */
  readonly is_minor: boolean
}

export function failureOf(
  error: UpstreamError,
  provider: Provider,
  { stream, failures }: { stream: string; failures: number },
  now: number,
): Failure {
  const is_minor = stream === DIRECTORY_STREAM && error.status === 403
  return {
    status: statusOf(error),
    problem: is_minor ? describeNames(provider) : describe(error, provider),
    http_status: error.status || null,
    request_id: error.detail.request_id ?? null,
    next_due_at: now + retryDelay(error, failures),
    is_minor,
  }
}

function statusOf({ status }: UpstreamError): 'auth_failed' | 'paused' | 'failed' {
  if (status === 401 || status === 403) return 'auth_failed'
  return status === 429 ? 'paused' : 'failed'
}

function retryDelay(error: UpstreamError, failures: number): number {
  const { status, detail } = error
  if (statusOf(error) === 'auth_failed') return AUTH_RETRY_MS
  if (status === 429) return detail.retry_after_ms ?? MINUTE_MS
  const backoff_ms = Math.min(2 ** failures * MINUTE_MS, FAILURE_RETRY_MAX_MS)
  return Math.max(backoff_ms, detail.retry_after_ms ?? 0)
}

/** Says what happened and what to do about it. */
function describe(error: UpstreamError, { id, name, admin }: Provider): string {
  const { status, detail } = error
  const needed = `Needed: ${admin?.key_help.kind}. Make one at ${admin?.key_help.url} and run: outlay connect ${id}`
  if (status === 401) return `${name} does not accept the key any more. ${needed}`
  if (status === 403) return `The key may not read this at ${name}. ${needed}`
  if (status === 429)
    return `${name} asked to slow down; the sync goes on by itself in ${Math.ceil((detail.retry_after_ms ?? MINUTE_MS) / 1000)} s.`
  return `${error.message} The sync tries again by itself; what was read before stays.`
}

function describeNames({ name, admin }: Provider): string {
  return `The key reads usage and cost at ${name}, but no names: keys, people and projects are shown by their ids. For names it takes ${admin?.key_help.kind}.`
}

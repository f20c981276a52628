import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { newId } from '../ids.ts'
import type { Api, Problem, ProblemKind, Surface } from '../providers/wire.ts'

/** The proxy answers this request itself. Thrown where the reason is found, caught once per request. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly problem: Problem

  constructor(kind: ProblemKind, message: string, retry_after_s?: number) {
    super(message)
    this.problem = { kind, message, ...(retry_after_s === undefined ? {} : { retry_after_s }) }
  }
}

/** A later try can succeed; every other refusal tells clients not to try again. */
const RETRYABLE: ReadonlySet<ProblemKind> = new Set([
  'rate_limited',
  'upstream_unreachable',
  'unavailable',
])

/** Answers in the provider's own form, so that its official client raises the right error, once. */
export function sendRefusal(outgoing: ServerResponse, surface: Surface, problem: Problem): void {
  if (outgoing.headersSent || outgoing.destroyed) {
    outgoing.destroy()
    return
  }
  const id = newId('req')
  const body = Buffer.from(JSON.stringify(surface.errors.body(problem, id)))
  const headers: OutgoingHttpHeaders = {
    'content-type': 'application/json',
    'content-length': body.length,
    'x-outlay-error': problem.kind,
    [surface.request_id_header]: id,
  }
  if (!RETRYABLE.has(problem.kind)) headers['x-should-retry'] = 'false'
  if (problem.retry_after_s !== undefined) headers['retry-after'] = String(problem.retry_after_s)
  if (problem.kind === 'upgrade_refused') headers['connection'] = 'close'
  outgoing.writeHead(surface.errors.statuses[problem.kind], headers)
  outgoing.end(body)
}

/** The end of a stream that began well, as an event that makes the official client raise. */
export function streamError(api: Api, surface: Surface, problem: Problem): string {
  const body = surface.errors.body(problem, newId('req'))
  switch (api.stream_error) {
    case 'responses':
      return `event: error\ndata: ${JSON.stringify({ type: 'error', ...body })}\n\n`
    case 'anthropic':
      return `event: error\ndata: ${JSON.stringify(body)}\n\n`
    default:
      return `data: ${JSON.stringify(body)}\n\n`
  }
}

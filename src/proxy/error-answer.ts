import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { Surface } from '../providers/wire.ts'
import { responseHeaders } from './headers.ts'
import { scrubSecret } from './scrub.ts'

export type ErrorAnswer = {
  readonly headers: OutgoingHttpHeaders
  readonly body: Buffer
  readonly is_key_refused: boolean
}

/**
 * A provider's error is forwarded as it is, except for the provider's key, which some repeat. That the
 * key itself is refused is told in our words: it is not the client's key, and not the client's fault.
 * `bytes` null: too large to look through.
 */
export function errorAnswer(
  about: { readonly provider_name: string; readonly surface: Surface; readonly secret: string },
  answer: { status: number; headers: IncomingHttpHeaders; bytes: Buffer | null },
): ErrorAnswer {
  const { status, bytes } = answer
  const { 'content-encoding': encoding, ...headers } = responseHeaders(answer.headers, false)
  const text = bytes?.toString() ?? ''
  const is_key_refused = status === 401 || text.includes('API_KEY_INVALID')
  if (bytes && encoding === undefined && !is_key_refused) {
    const clean = scrubSecret(text, about.secret)
    const body = clean === text ? bytes : Buffer.from(clean)
    return { headers: { ...headers, 'content-length': body.length }, body, is_key_refused }
  }
  const body = Buffer.from(JSON.stringify(ownBody(about, status, is_key_refused)))
  return {
    headers: {
      ...headers,
      'content-type': 'application/json',
      'content-length': body.length,
      // A client that tries a refused key again and again keeps a person waiting for nothing.
      ...(is_key_refused
        ? { 'x-should-retry': 'false', 'x-outlay-error': 'upstream_key_refused' }
        : {}),
    },
    body,
    is_key_refused,
  }
}

function ownBody(
  { provider_name, surface }: Parameters<typeof errorAnswer>[0],
  status: number,
  is_key_refused: boolean,
) {
  const problem = is_key_refused
    ? ({
        kind: 'upstream_key_refused',
        message: `${provider_name} refused the key that Outlay holds for it. Connect another one: outlay connect.`,
      } as const)
    : ({ kind: 'upstream_unreachable', message: `${provider_name} answered ${status}.` } as const)
  return surface.errors.body(problem, 'upstream')
}

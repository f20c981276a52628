import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isAttributionHeader } from './attribution.ts'
import { CREDENTIAL_HEADERS } from './credential.ts'

/** They belong to one connection: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]
const REQUEST_DROPPED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...CREDENTIAL_HEADERS,
  'cookie',
  'host',
  'content-length',
  'accept-encoding',
  'forwarded',
  'via',
])
const RESPONSE_DROPPED: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'set-cookie'])

/**
 * What goes to the provider, as undici's flat list. Answers must come as they are: what is compressed
 * could not be read in passing.
 */
export function requestHeaders(
  incoming: IncomingMessage,
  account_headers: readonly string[],
  credential: readonly [name: string, value: string],
): string[] {
  const named = namedByConnection(incoming.headers.connection)
  const { rawHeaders } = incoming
  const kept: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const lower = name.toLowerCase()
    if (
      REQUEST_DROPPED.has(lower) ||
      lower.startsWith('x-forwarded-') ||
      lower.startsWith('proxy-') ||
      account_headers.includes(lower) ||
      isAttributionHeader(lower) ||
      named.includes(lower)
    )
      continue
    kept.push(name, rawHeaders[i + 1] ?? '')
  }
  kept.push('accept-encoding', 'identity', credential[0], credential[1])
  return kept
}

/** What comes back to the client. `is_length_kept`: false where the proxy may change the body. */
export function responseHeaders(
  headers: IncomingHttpHeaders,
  is_length_kept: boolean,
): Record<string, string | string[]> {
  const named = namedByConnection(headers.connection)
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || RESPONSE_DROPPED.has(name) || named.includes(name)) continue
    if (name === 'content-length' && !is_length_kept) continue
    kept[name] = value
  }
  return kept
}

function namedByConnection(connection: string | undefined): string[] {
  if (connection === undefined || connection === 'keep-alive') return []
  return connection.split(',').map((name) => name.trim().toLowerCase())
}

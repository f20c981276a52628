import type { IncomingMessage } from 'node:http'

/** Where clients put their key; none of these goes on to a provider. */
export const CREDENTIAL_HEADERS = [
  'authorization',
  'x-api-key',
  'x-goog-api-key',
  'api-key',
] as const
const CREDENTIAL_PARAMS = new Set(['key', 'api_key', 'access_token'])

export type Credential =
  | { readonly kind: 'one'; readonly text: string }
  | { readonly kind: 'none' | 'several' }

/**
 * The key of a request, in whatever form its client sends it. The same key in two places is one; of
 * several, wrapped keys count alone, since older clients send what they find in the environment too.
 */
export function findCredential(incoming: IncomingMessage, query: string): Credential {
  const found = new Set<string>()
  for (const name of CREDENTIAL_HEADERS) {
    const value = incoming.headers[name]
    const text = typeof value === 'string' ? value.replace(/^Bearer\s+/i, '').trim() : ''
    if (text !== '') found.add(text)
  }
  for (const [name, value] of params(query)) {
    if (CREDENTIAL_PARAMS.has(name.toLowerCase()) && value !== '') found.add(value)
  }
  const wrapped = [...found].filter((text) => text.startsWith('olk_'))
  const choice = wrapped.length > 0 ? wrapped : [...found]
  const [text] = choice
  if (text === undefined) return { kind: 'none' }
  return choice.length === 1 ? { kind: 'one', text } : { kind: 'several' }
}

/** The query without credentials; the other parts stay byte for byte, with their `?`. */
export function withoutCredentials(query: string): string {
  if (query === '') return ''
  const kept = query
    .slice(1)
    .split('&')
    .filter((part) => !CREDENTIAL_PARAMS.has(decode(part.split('=', 1)[0] ?? '').toLowerCase()))
  return kept.length > 0 ? `?${kept.join('&')}` : ''
}

function* params(query: string): Generator<readonly [name: string, value: string]> {
  if (query === '') return
  for (const part of query.slice(1).split('&')) {
    const [name = '', ...rest] = part.split('=')
    yield [decode(name), decode(rest.join('='))]
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

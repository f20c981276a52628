import type { AdminApi } from './provider.ts'

/** What a key's prefix says it is, most telling first. */
const KINDS: readonly (readonly [prefix: RegExp, kind: string])[] = [
  [/^olk_/, 'an Outlay wrapped key'],
  [/^olt_/, 'an Outlay access token'],
  [/^sk-ant-admin/, 'an Anthropic admin key'],
  [/^sk-ant-oat/, 'an Anthropic OAuth token'],
  [/^sk-ant-api/, 'an Anthropic API key for inference'],
  [/^sk-ant-/, 'an Anthropic key'],
  [/^sk-or-/, 'an OpenRouter key'],
  [/^sk-admin-/, 'an OpenAI admin key'],
  [/^sk-svcacct-/, 'an OpenAI service account key'],
  [/^sk-proj-/, 'an OpenAI project key'],
  [/^AIza/, 'a Google API key'],
  [/^sk-/, 'an API key for inference'],
]

/**
 * Refuses what is certainly another kind of key, before it is sent anywhere. A text that no prefix tells
 * is left to the provider, because kinds are added faster than programs are.
 */
export function refuseKeyOf({
  accepted,
  key_help,
}: {
  accepted: readonly RegExp[]
  key_help: Pick<AdminApi['key_help'], 'kind' | 'url'>
}): AdminApi['refuseKey'] {
  return function refuseKey(key) {
    if (!/^[\x21-\x7e]+$/.test(key))
      return `This has spaces, line breaks or letters that no key has. Needed: ${key_help.kind}. Make one at ${key_help.url}`
    if (accepted.some((prefix) => prefix.test(key))) return null
    const found = KINDS.find(([prefix]) => prefix.test(key))
    if (!found) return null
    return `This is ${found[1]}. Needed: ${key_help.kind}. Make one at ${key_help.url}`
  }
}

import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { UserError } from '../errors.ts'
import type { WrappedKey, WrappedKeyFields } from './wrapped-key.ts'

const LIST_MAX = 100
const TAGS_MAX = 20
const RATE_MAX = 1_000_000_000

/**
 * @throws UserError that names the field and what it takes. An expiry that has passed is kept when a
 * key is changed, never given.
 */
export function parseKeyFields(
  fields: WrappedKeyFields,
  now: number,
  before?: WrappedKey,
): WrappedKeyFields {
  const { expires_at } = fields
  if (expires_at !== null && expires_at <= now && expires_at !== before?.expires_at)
    throw new UserError('expires: the key would have expired already. Give a later instant.')
  if (fields.providers.length === 0)
    throw new UserError('providers: a wrapped key opens at least one provider.')
  return {
    ...fields,
    name: parseText('name', fields.name, 60) ?? '',
    providers: [...new Set(parseList('providers', fields.providers))],
    models: [...new Set(parseList('models', fields.models))],
    addresses: parseAddresses(fields.addresses),
    tags: parseTags(fields.tags),
    user: parseText('user', fields.user, 200),
    workspace: parseText('workspace', fields.workspace, 200),
    requests_per_minute: parseRate('requests_per_minute', fields.requests_per_minute),
    tokens_per_minute: parseRate('tokens_per_minute', fields.tokens_per_minute),
    concurrent_requests: parseRate('concurrent_requests', fields.concurrent_requests),
  }
}

/** Addresses and ranges as one question. */
export function addressMatcher(addresses: readonly string[]): (address: string) => boolean {
  if (addresses.length === 0) return () => true
  const list = new BlockList()
  for (const text of addresses) {
    const { address, bits, family } = parseRange(text)
    list.addSubnet(address, bits, family)
  }
  return (address) =>
    isIPv4(address)
      ? list.check(address, 'ipv4')
      : isIPv6(address)
        ? list.check(address, 'ipv6')
        : false
}

function parseText(field: string, text: string | null, chars_max: number): string | null {
  if (text === null) return null
  const trimmed = text.trim()
  if (!/^[^\p{C}]+$/u.test(trimmed) || trimmed.length > chars_max)
    throw new UserError(`${field}: must be 1 to ${chars_max} characters on one line.`)
  return trimmed
}

function parseList(field: string, items: readonly string[]): string[] {
  if (items.length > LIST_MAX) throw new UserError(`${field}: takes up to ${LIST_MAX} entries.`)
  return items.map((item) => {
    const text = item.trim()
    if (!/^[^\p{C}\s]{1,200}$/u.test(text))
      throw new UserError(`${field}: "${text.slice(0, 40)}" is not one word.`)
    return text
  })
}

function parseAddresses(addresses: readonly string[]): string[] {
  const texts = parseList('addresses', addresses)
  for (const text of texts) parseRange(text)
  return texts
}

function parseRange(text: string): { address: string; bits: number; family: 'ipv4' | 'ipv6' } {
  const [address = '', length] = text.split('/')
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined
  const bits_max = family === 'ipv4' ? 32 : 128
  const bits = length === undefined ? bits_max : Number(length)
  const is_number = length === undefined || /^\d{1,3}$/.test(length)
  if (!family || !is_number || bits > bits_max)
    throw new UserError(
      `addresses: "${text.slice(0, 60)}" must be an address or a range, such as 10.0.0.0/8 or 2001:db8::/32.`,
    )
  return { address, bits, family }
}

function parseTags(tags: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(tags)
  if (entries.length > TAGS_MAX) throw new UserError(`tags: takes up to ${TAGS_MAX} tags.`)
  const bad = entries.find(
    ([key, value]) => !/^[\w.-]{1,64}$/.test(key) || !/^[^\p{C}]{1,200}$/u.test(value),
  )
  if (bad)
    throw new UserError(
      `tags: "${bad[0].slice(0, 40)}" must be a key of letters, digits, dots and dashes with a value of 1 to 200 characters.`,
    )
  return Object.fromEntries(entries)
}

function parseRate(field: string, rate: number | null): number | null {
  if (rate === null) return null
  if (!Number.isInteger(rate) || rate < 1 || rate > RATE_MAX)
    throw new UserError(
      `${field}: must be a whole number from 1 to ${RATE_MAX}, or 0 for no limit.`,
    )
  return rate
}

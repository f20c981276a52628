import type { Attributes, AttributeValue } from './signal.ts'

/** What carries attributes: a log record, a span or a metric point, with the resource that sent it. */
export type Item = { readonly attributes: Attributes; readonly resource: Attributes }

/** Attribute names of one meaning; the first that is there counts. */
export type Names = readonly string[]

const TEXT_LENGTH_MAX = 256
const TOKENS_MAX = 1e12
const DECIMAL = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/

/** The item's own attributes go before its resource's. */
export function findValue(
  { attributes, resource }: Item,
  names: Names,
): AttributeValue | undefined {
  for (const name of names) {
    const value = attributes[name] ?? resource[name]
    if (value !== undefined && value !== '') return value
  }
  return undefined
}

/** Short texts only: what is longer names nothing and could be content. */
export function findText(item: Item, names: Names): string | undefined {
  for (const name of names) {
    const text = textNamed(item, name)
    if (text !== undefined) return text
  }
  return undefined
}

/** As `findText`, of one name. */
export function textNamed({ attributes, resource }: Item, name: string): string | undefined {
  const value = attributes[name] ?? resource[name]
  if (value === undefined || value === '' || typeof value === 'object') return undefined
  const text = String(value)
  return text.length <= TEXT_LENGTH_MAX ? text : undefined
}

/**
 * The same number arrives as an integer, a double or a decimal text, even within one record. NaN for
 * anything else; undefined for nothing.
 */
export function findNumber(item: Item, names: Names): number | undefined {
  const value = findValue(item, names)
  if (value === undefined || typeof value === 'number') return value
  if (typeof value === 'bigint' || typeof value === 'boolean') return Number(value)
  return typeof value === 'string' && DECIMAL.test(value) ? Number(value) : Number.NaN
}

/** NaN when it is there and no count of tokens: a whole number from 0 to 10¹². */
export function findCount(item: Item, names: Names | undefined): number | undefined {
  if (!names) return undefined
  const value = findNumber(item, names)
  if (value === undefined) return undefined
  return Number.isInteger(value) && value >= 0 && value <= TOKENS_MAX ? value : Number.NaN
}

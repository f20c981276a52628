import { BadPayload, type Bag, clip, createBag } from './decode-batch.ts'
import { ATTRIBUTES_MAX, LIST_ITEMS_MAX, VALUE_DEPTH_MAX } from './limits.ts'
import type { AttributeValue } from './signal.ts'

/** An object out of `JSON.parse`. Its `__proto__` is an own field like any other, so reading is safe. */
export type Json = Readonly<Record<string, unknown>>

/**
 * Thrown for an item that says something that cannot be: it is left out and counted, its batch goes on.
 * Made once, since a body can hold a hundred thousand such items and a stack trace of each takes long.
 */
export const BAD_ITEM: Error = new Error('an item of the payload is not valid')

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? clip(value) : ''
}

/** Hex, not base64; '' for anything else and for the invalid id, all zeros. */
export function hexIdOf(value: unknown, length: 16 | 32): string {
  if (typeof value !== 'string' || value.length !== length) return ''
  return /^[0-9a-f]+$/i.test(value) && /[^0]/.test(value) ? value.toLowerCase() : ''
}

/** Nanoseconds as a decimal text or, with the loss that the client chose, a number. @throws BAD_ITEM */
export function instantOf(value: unknown): bigint {
  if (value === undefined || value === null || value === '') return 0n
  if (typeof value === 'string' && /^\d{1,20}$/.test(value)) return BigInt(value)
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 64)
    return BigInt(value)
  throw BAD_ITEM
}

const SPECIAL: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
}

/** Undefined: none was sent. @throws BAD_ITEM */
export function numberOf(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  const number = readNumber(value)
  if (number === undefined) throw BAD_ITEM
  return number
}

function readNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'string') return undefined
  if (Object.hasOwn(SPECIAL, value)) return SPECIAL[value]
  return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value) ? Number(value) : undefined
}

/** What is no list of keys and values has none. @throws BadPayload only for depth */
export function readAttributes(list: unknown, bag: Bag = createBag()): Bag {
  if (!Array.isArray(list)) return bag
  let size = 0
  for (const entry of list) {
    if (size >= ATTRIBUTES_MAX) break
    if (!isObject(entry)) continue
    const { key, value } = entry
    const read = readValue(value, 0)
    if (typeof key !== 'string' || read === undefined) continue
    bag[clip(key)] = read
    size++
  }
  return bag
}

/** Undefined: it is empty, or of a kind that says nothing about usage (bytes, maps). */
export function readValue(value: unknown, depth: number): AttributeValue | undefined {
  if (!isObject(value)) return undefined
  const { stringValue, intValue, doubleValue, boolValue } = value
  if (typeof stringValue === 'string') return clip(stringValue)
  if (intValue !== undefined && intValue !== null) return readInteger(intValue)
  if (doubleValue !== undefined && doubleValue !== null)
    return readNumber(doubleValue) ?? readText(doubleValue)
  if (typeof boolValue === 'boolean') return boolValue
  const { arrayValue, kvlistValue } = value
  if (isObject(arrayValue)) return readList(arrayValue, depth + 1)
  if (isObject(kvlistValue)) checkMap(kvlistValue, depth + 1)
  return undefined
}

/** What is no number stays a text: whoever needs the number will say so. */
function readInteger(value: unknown): AttributeValue | undefined {
  if (typeof value === 'string' && /^-?\d{16,19}$/.test(value)) {
    const exact = BigInt(value)
    return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact
  }
  return readNumber(value) ?? readText(value)
}

function readText(value: unknown): string | undefined {
  return typeof value === 'string' ? clip(value) : undefined
}

function readList({ values }: Json, depth: number): AttributeValue[] {
  refuseDepth(depth)
  const list: AttributeValue[] = []
  for (const one of Array.isArray(values) ? values : []) {
    const value = readValue(one, depth)
    if (value !== undefined && list.length < LIST_ITEMS_MAX) list.push(value)
  }
  return list
}

function checkMap({ values }: Json, depth: number): void {
  refuseDepth(depth)
  for (const entry of Array.isArray(values) ? values : [])
    if (isObject(entry)) readValue(entry['value'], depth)
}

function refuseDepth(depth: number): void {
  if (depth > VALUE_DEPTH_MAX) throw new BadPayload('Values are nested too deeply.')
}

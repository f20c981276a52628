/**
 * Reads and edits JSON by position, without parsing it into values and writing it out again: a body
 * that is forwarded keeps its key order, its long numbers and its escapes.
 */
export type Member = {
  /** The name with its escapes resolved. */
  readonly name: string
  /** Half-open byte positions of the whole member and of its value. */
  readonly start: number
  readonly value_start: number
  readonly end: number
}

export type ObjectSpan = {
  /** Positions of the opening and of the closing brace. */
  readonly open: number
  readonly close: number
  readonly members: readonly Member[]
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/** The members of the object at or after `from`, of JSON that is known to be valid; else undefined. */
export function scanObject(bytes: Buffer, from = 0): ObjectSpan | undefined {
  const open = skipSpace(bytes, from)
  if (bytes[open] !== OPEN_BRACE) return undefined
  const members: Member[] = []
  let at = skipSpace(bytes, open + 1)
  while (bytes[at] === QUOTE) {
    const name_end = stringEnd(bytes, at)
    const colon = skipSpace(bytes, name_end)
    if (bytes[colon] !== COLON) return undefined
    const value_start = skipSpace(bytes, colon + 1)
    const end = valueEnd(bytes, value_start)
    if (end === undefined) return undefined
    const name = nameOf(bytes, at, name_end)
    if (name === undefined) return undefined
    members.push({ name, start: at, value_start, end })
    at = skipSpace(bytes, end)
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1)
  }
  return bytes[at] === CLOSE_BRACE ? { open, close: at, members } : undefined
}

/** A name that stands twice: servers differ in which of the two they obey. */
export function findDuplicate({ members }: ObjectSpan): string | undefined {
  const seen = new Set<string>()
  for (const { name } of members) {
    if (seen.has(name)) return name
    seen.add(name)
  }
  return undefined
}

/** The same in any object, however deep; for the few bodies in which nested members decide what is billed. */
export function findDuplicateAnywhere(bytes: Buffer): string | undefined {
  const open: (Set<string> | null)[] = []
  let is_name = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at)
      const seen = is_name ? open.at(-1) : null
      const name = seen ? nameOf(bytes, at, end) : undefined
      if (seen && name !== undefined) {
        if (seen.has(name)) return name
        seen.add(name)
      }
      is_name = false
      at = end - 1
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      is_name = byte === OPEN_BRACE
      open.push(is_name ? new Set() : null)
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) open.pop()
    else if (byte === COMMA) is_name = open.at(-1) instanceof Set
  }
  return undefined
}

/** The bytes with the value at a path of members set; objects on the way are made where absent. */
export function setMember(bytes: Buffer, path: readonly string[], json: string): Buffer {
  return setWithin(bytes, 0, path, json)
}

function setWithin(bytes: Buffer, from: number, path: readonly string[], json: string): Buffer {
  const [name = '', ...rest] = path
  const span = scanObject(bytes, from)
  if (!span) return bytes
  const member = span.members.find((one) => one.name === name)
  const is_object = member !== undefined && bytes[member.value_start] === OPEN_BRACE
  if (member && rest.length > 0 && is_object)
    return setWithin(bytes, member.value_start, rest, json)
  const value = rest.reduceRight((inner, one) => `{${JSON.stringify(one)}:${inner}}`, json)
  if (member) return splice(bytes, member.value_start, member.end, value)
  const comma = span.members.length > 0 ? ',' : ''
  return splice(bytes, span.close, span.close, `${comma}${JSON.stringify(name)}:${value}`)
}

/** The bytes without a member of the outermost object. */
export function removeMember(bytes: Buffer, name: string): Buffer {
  const span = scanObject(bytes)
  const at = span?.members.findIndex((one) => one.name === name) ?? -1
  const member = span?.members[at]
  if (!span || !member) return bytes
  const next = span.members[at + 1]
  const before = span.members[at - 1]
  if (next) return splice(bytes, member.start, next.start, '')
  return splice(bytes, before ? before.end : member.start, member.end, '')
}

function splice(bytes: Buffer, start: number, end: number, text: string): Buffer {
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(text), bytes.subarray(end)])
}

/**
 * The last object that stands under a name, read from bytes that may be cut off, or too many to parse
 * as a whole.
 */
export function findLastObject(bytes: Buffer, name: string): unknown {
  const quoted = `"${name}"`
  let at = bytes.lastIndexOf(quoted)
  while (at >= 0) {
    const colon = skipSpace(bytes, at + quoted.length)
    const start = skipSpace(bytes, colon + 1)
    const end =
      bytes[colon] === COLON && bytes[start] === OPEN_BRACE ? valueEnd(bytes, start) : undefined
    const value = end === undefined ? undefined : parseJson(bytes.subarray(start, end).toString())
    if (value !== undefined) return value
    if (at === 0) return undefined
    at = bytes.lastIndexOf(quoted, at - 1)
  }
  return undefined
}

/**
 * Matches text in which one of the names is a member somewhere whose value is not null. Cheap; may be
 * wrong in favour. Names are plain words.
 */
export function memberPattern(names: readonly string[]): RegExp {
  return new RegExp(`"(?:${names.join('|')})"\\s*:\\s*[^\\sn]`)
}

/** The value, or undefined for what is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function nameOf(bytes: Buffer, start: number, end: number): string | undefined {
  const text = bytes.toString('utf8', start, end)
  if (!text.includes('\\')) return text.slice(1, -1)
  const name = parseJson(text)
  return typeof name === 'string' ? name : undefined
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at++
  }
}

/** The position after the string that opens at `start`; the length of the bytes where it does not end. */
function stringEnd(bytes: Buffer, start: number): number {
  let quote = bytes.indexOf(QUOTE, start + 1)
  while (quote >= 0) {
    let slashes = 0
    while (bytes[quote - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return quote + 1
    quote = bytes.indexOf(QUOTE, quote + 1)
  }
  return bytes.length
}

/** The position after the value at `start`, or undefined where the bytes end before it does. */
function valueEnd(bytes: Buffer, start: number): number | undefined {
  const first = bytes[start]
  if (first === undefined) return undefined
  if (first === QUOTE) return stringEnd(bytes, start)
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return scalarEnd(bytes, start)
  let depth = 0
  let at = start
  while (at < bytes.length) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = stringEnd(bytes, at)
      continue
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++
    if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) return at + 1
    at++
  }
  return undefined
}

function scalarEnd(bytes: Buffer, start: number): number {
  let at = start
  for (;;) {
    const byte = bytes[at]
    if (
      byte === undefined ||
      byte === COMMA ||
      byte === CLOSE_BRACE ||
      byte === CLOSE_BRACKET ||
      byte <= 0x20
    )
      return at
    at++
  }
}

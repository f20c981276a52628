import { BadPayload } from './decode-batch.ts'

/** Where the parts of a JSON text end. All throw BadPayload: https://www.rfc-editor.org/rfc/rfc8259 */

const DEPTH_MAX = 200

export const QUOTE = 0x22
const PLUS = 0x2b
export const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
export const ZERO = 0x30
export const NINE = 0x39
export const COLON = 0x3a
export const OPEN_LIST = 0x5b
const BACKSLASH = 0x5c
export const CLOSE_LIST = 0x5d
const EXPONENT = 0x65
export const OPEN_OBJECT = 0x7b
export const CLOSE_OBJECT = 0x7d

const WORDS: Readonly<Record<number, string>> = { 116: 'true', 102: 'false', 110: 'null' }

/** What ends the plain stretch of a text: its quote, an escape, a control character. */
const ENDS_PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === QUOTE || byte === BACKSLASH ? 1 : 0,
)

/** Where the next byte is that is no space, or the end. */
export function spaceEnd(bytes: Uint8Array, start: number): number {
  let pos = start
  for (let byte = bytes[pos] ?? 0; byte <= 0x20; byte = bytes[pos] ?? 0) {
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    pos++
  }
  return pos
}

/** Behind a byte that must come next. */
export function behind(byte: number, bytes: Uint8Array, start: number): number {
  const pos = spaceEnd(bytes, start)
  if (bytes[pos] !== byte) throw badJson()
  return pos + 1
}

/** Behind the text whose quote is next. */
export function textEnd(bytes: Uint8Array, start: number): number {
  const end = bytes.length
  if (bytes[start] !== QUOTE) throw badJson()
  let pos = start + 1
  for (;;) {
    while (pos < end && ENDS_PLAIN[bytes[pos] as number] === 0) pos++
    if (bytes[pos] === QUOTE) return pos + 1
    if (bytes[pos] !== BACKSLASH) throw badJson()
    pos += escapeSize(bytes, pos)
  }
}

/** How deep values lie in each other, where that was looked for. */
export type Depth = { deepest: number }

/** Behind the value that is next. */
export function valueEnd(bytes: Uint8Array, start: number, depth: number, seen: Depth): number {
  const pos = spaceEnd(bytes, start)
  const byte = bytes[pos]
  if (byte === QUOTE) return textEnd(bytes, pos)
  if (byte === OPEN_OBJECT) return objectEnd(bytes, pos, depth + 1, seen)
  if (byte === OPEN_LIST) return listEnd(bytes, pos, depth + 1, seen)
  const word = byte === undefined ? undefined : WORDS[byte]
  return word === undefined ? numberEnd(bytes, pos) : wordEnd(word, bytes, pos)
}

function objectEnd(bytes: Uint8Array, start: number, depth: number, seen: Depth): number {
  note(depth, seen)
  let pos = spaceEnd(bytes, start + 1)
  if (bytes[pos] === CLOSE_OBJECT) return pos + 1
  for (;;) {
    pos = behind(COLON, bytes, textEnd(bytes, pos))
    pos = spaceEnd(bytes, valueEnd(bytes, pos, depth, seen))
    if (bytes[pos] !== COMMA) return behind(CLOSE_OBJECT, bytes, pos)
    pos = spaceEnd(bytes, pos + 1)
  }
}

function listEnd(bytes: Uint8Array, start: number, depth: number, seen: Depth): number {
  note(depth, seen)
  let pos = spaceEnd(bytes, start + 1)
  if (bytes[pos] === CLOSE_LIST) return pos + 1
  for (;;) {
    pos = spaceEnd(bytes, valueEnd(bytes, pos, depth, seen))
    if (bytes[pos] !== COMMA) return behind(CLOSE_LIST, bytes, pos)
    pos++
  }
}

function note(depth: number, seen: Depth): void {
  if (depth > DEPTH_MAX) throw new BadPayload('The JSON is nested too deeply.')
  if (depth > seen.deepest) seen.deepest = depth
}

function numberEnd(bytes: Uint8Array, start: number): number {
  let pos = bytes[start] === MINUS ? start + 1 : start
  pos = bytes[pos] === ZERO ? pos + 1 : digitsEnd(bytes, pos)
  if (bytes[pos] === DOT) pos = digitsEnd(bytes, pos + 1)
  if (((bytes[pos] ?? 0) | 0x20) !== EXPONENT) return pos
  const sign = bytes[pos + 1]
  return digitsEnd(bytes, sign === MINUS || sign === PLUS ? pos + 2 : pos + 1)
}

/** At least one. */
function digitsEnd(bytes: Uint8Array, start: number): number {
  let pos = start
  for (let byte = bytes[pos]; byte !== undefined && byte >= ZERO && byte <= NINE; )
    byte = bytes[++pos]
  if (pos === start) throw badJson()
  return pos
}

function wordEnd(word: string, bytes: Uint8Array, start: number): number {
  for (let index = 0; index < word.length; index++)
    if (bytes[start + index] !== word.charCodeAt(index)) throw badJson()
  return start + word.length
}

const ESCAPED = [...'"\\/bfnrt'].map((letter) => letter.charCodeAt(0))
const UNICODE = 0x75

/** Of the escape that begins there. */
function escapeSize(bytes: Uint8Array, start: number): 2 | 6 {
  const letter = bytes[start + 1] ?? 0
  if (ESCAPED.includes(letter)) return 2
  const digits = String.fromCharCode(...bytes.subarray(start + 2, start + 6))
  if (letter !== UNICODE || !/^[0-9a-f]{4}$/i.test(digits)) throw badJson()
  return 6
}

/** Without the parser's own message, which quotes the text. */
export function badJson(): BadPayload {
  return new BadPayload('The body is not valid JSON.')
}

import {
  badJson,
  behind,
  CLOSE_LIST,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  NINE,
  OPEN_LIST,
  OPEN_OBJECT,
  QUOTE,
  spaceEnd,
  textEnd,
  valueEnd,
  ZERO,
} from './json-scan.ts'
import { KnownTexts } from './known-texts.ts'

const FIRST = { object: OPEN_OBJECT, list: OPEN_LIST, text: QUOTE, null: 0x6e } as const

/**
 * Goes through the bytes of a JSON text and makes only of those values an object that are asked for:
 * what is passed over is checked all the same. All methods throw BadPayload.
 */
export class JsonReader {
  pos = 0
  readonly #bytes: Buffer
  readonly #texts: KnownTexts
  readonly #seen = { deepest: 0 }

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#texts = new KnownTexts(bytes, (start, stop) => this.#makeText(start, stop))
  }

  /** What kind of value is next. */
  is(kind: keyof typeof FIRST): boolean {
    this.pos = spaceEnd(this.#bytes, this.pos)
    return this.#bytes[this.pos] === FIRST[kind]
  }

  /** Nothing but space may follow. */
  end(): void {
    if (spaceEnd(this.#bytes, this.pos) < this.#bytes.length) throw badJson()
  }

  /**
   * The key of an object's first field; undefined: it has none. Whoever asks for the next one has gone
   * past the value. To say which key is likely makes it faster.
   */
  firstField(likely = ''): string | undefined {
    this.pos = behind(OPEN_OBJECT, this.#bytes, this.pos)
    return this.#took(CLOSE_OBJECT) ? undefined : this.#key(likely)
  }

  nextField(likely = ''): string | undefined {
    if (this.#took(COMMA)) return this.#key(likely)
    this.pos = behind(CLOSE_OBJECT, this.#bytes, this.pos)
    return undefined
  }

  /** Whether a list has an item, of which then the value is next. */
  firstItem(): boolean {
    this.pos = behind(OPEN_LIST, this.#bytes, this.pos)
    return !this.#took(CLOSE_LIST)
  }

  nextItem(): boolean {
    if (this.#took(COMMA)) return true
    this.pos = behind(CLOSE_LIST, this.#bytes, this.pos)
    return false
  }

  /** Goes through an object and reads one field before another, whichever comes first. */
  inOrder(first: string, readFirst: () => void, second: string, readSecond: () => void): void {
    let is_first_read = false
    let waiting_at = -1
    for (let key = this.firstField(); key !== undefined; key = this.nextField())
      if (key === first) {
        readFirst()
        is_first_read = true
      } else if (key === second && is_first_read) readSecond()
      else {
        if (key === second) waiting_at = this.pos
        this.skip()
      }
    if (waiting_at >= 0) this.at(waiting_at, readSecond)
  }

  /** Reads what stands elsewhere. */
  at<Value>(pos: number, read: () => Value): Value {
    const back = this.pos
    this.pos = pos
    const value = read()
    this.pos = back
    return value
  }

  text(): string {
    const bytes = this.#bytes
    const start = spaceEnd(bytes, this.pos)
    const stop = textEnd(bytes, start)
    this.pos = stop
    return this.#texts.at(start + 1, stop - 1)
  }

  /** Any value. */
  value(): unknown {
    const start = this.pos
    this.skip()
    return this.since(start)
  }

  /** The value between there and here, which was gone past. */
  since(start: number): unknown {
    try {
      return JSON.parse(this.#bytes.toString('utf8', start, this.pos))
    } catch {
      throw badJson()
    }
  }

  /** Goes past a value, and gives how many lists and objects lie in each other there. */
  skip(): number {
    this.#seen.deepest = 0
    this.pos = valueEnd(this.#bytes, this.pos, 0, this.#seen)
    return this.#seen.deepest
  }

  /** Goes past a value, and tells whether it is a text of digits. */
  skipDigits(): boolean {
    const start = spaceEnd(this.#bytes, this.pos)
    this.skip()
    const stop = this.pos - 1
    for (let pos = start + 1; pos < stop; pos++) {
      const byte = this.#bytes[pos] ?? 0
      if (byte < ZERO || byte > NINE) return false
    }
    return this.#bytes[start] === QUOTE && stop > start + 1
  }

  #key(likely: string): string {
    const stop = endOf(likely, this.#bytes, this.pos)
    if (stop > 0) this.pos = stop
    const key = stop > 0 ? likely : this.text()
    this.pos = behind(COLON, this.#bytes, this.pos)
    return key
  }

  #took(byte: number): boolean {
    const pos = spaceEnd(this.#bytes, this.pos)
    const is_next = this.#bytes[pos] === byte
    this.pos = is_next ? pos + 1 : pos
    return is_next
  }

  #makeText(start: number, stop: number): string {
    const text = this.#bytes.toString('utf8', start, stop)
    return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text
  }
}

/** Behind a text in quotes that is just this one; 0: another is there. */
function endOf(text: string, bytes: Uint8Array, start: number): number {
  const end = start + text.length + 2
  if (bytes[start] !== QUOTE || bytes[end - 1] !== QUOTE) return 0
  for (let index = 0; index < text.length; index++)
    if (bytes[start + 1 + index] !== text.charCodeAt(index)) return 0
  return end
}

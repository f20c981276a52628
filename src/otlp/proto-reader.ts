import protobuf from 'protobufjs/minimal.js'
import { BadPayload, type Bag, clip } from './decode-batch.ts'
import { KnownTexts } from './known-texts.ts'
import { ATTRIBUTES_MAX, LIST_ITEMS_MAX, TEXT_LENGTH_MAX, VALUE_DEPTH_MAX } from './limits.ts'
import type { AttributeValue } from './signal.ts'

/** Enough for every text that is kept: no UTF-16 unit takes more than three bytes. */
const TEXT_BYTES_MAX = 3 * TEXT_LENGTH_MAX + 3

/** Tags of AnyValue and KeyValue: field number × 8 + wire type. */
const STRING_VALUE = 0x0a
const BOOL_VALUE = 0x10
const INT_VALUE = 0x18
const DOUBLE_VALUE = 0x21
const ARRAY_VALUE = 0x2a
const KVLIST_VALUE = 0x32
const LIST_ITEM = 0x0a
const KEY = 0x0a
const VALUE = 0x12

/**
 * What all OTLP messages are made of, over protobufjs's wire reader. An `end` is where the enclosing
 * message ends; a length that reaches beyond it is an error and no look into the next message.
 * https://protobuf.dev/programming-guides/encoding/
 */
export class ProtoReader extends protobuf.BufferReader {
  readonly #bytes: Buffer
  readonly #texts: KnownTexts

  constructor(bytes: Buffer) {
    super(bytes)
    this.#bytes = bytes
    this.#texts = new KnownTexts(bytes, (start, stop) => bytes.toString('utf8', start, stop))
  }

  /** Where the message, list or text that begins here ends. */
  enter(end: number): number {
    const size = this.size()
    if (this.pos + size > end) throw new BadPayload('a length reaches beyond its message')
    return this.pos + size
  }

  leave(end: number): void {
    if (this.pos !== end) throw new BadPayload('a field reaches beyond its message')
  }

  /** Goes through the rest of a message and has the fields of one tag read. */
  each(tag: number, end: number, read: () => void): void {
    while (this.pos < end) {
      const one = this.tag()
      if (one === tag) read()
      else this.skipField(one)
    }
    this.leave(end)
  }

  skipField(tag: number): void {
    this.skipType(tag & 7, 0, tag >>> 3)
  }

  text(end: number): string {
    const stop = this.enter(end)
    const start = this.pos
    this.pos = stop
    return clip(this.#texts.at(start, Math.min(stop, start + TEXT_BYTES_MAX)))
  }

  /** Lower-case hex; '' for an id of another length and for the invalid one, all zeros. */
  hexId(end: number, size: 8 | 16): string {
    const stop = this.enter(end)
    const start = this.pos
    this.pos = stop
    if (stop - start !== size) return ''
    const text = this.#bytes.toString('hex', start, stop)
    return /[^0]/.test(text) ? text : ''
  }

  instant(): bigint {
    const at = this.#bytes.readBigUInt64LE(this.pos)
    this.pos += 8
    return at
  }

  signed64(): number {
    const value = this.#bytes.readBigInt64LE(this.pos)
    this.pos += 8
    return Number(value)
  }

  /** Puts an attribute into a bag of `size` ones, and gives its new size. Of keys that are not asked for the value is only checked. */
  attribute(bag: Bag, end: number, size: number, keys?: ReadonlySet<string>): number {
    const stop = this.enter(end)
    let key = ''
    let value: AttributeValue | undefined
    let is_kept = true
    while (this.pos < stop) {
      const tag = this.tag()
      if (tag === KEY) {
        key = this.text(stop)
        is_kept = keys === undefined || keys.has(key)
      } else if (tag === VALUE) value = this.value(stop, 0, is_kept)
      else this.skipField(tag)
    }
    this.leave(stop)
    if (value === undefined || size >= ATTRIBUTES_MAX) return size
    bag[key] = value
    return size + 1
  }

  /** Undefined: it is empty, not to be kept, or of a kind that says nothing about usage (bytes, maps). */
  value(end: number, depth: number, is_kept = true): AttributeValue | undefined {
    const stop = this.enter(end)
    let value: AttributeValue | undefined
    while (this.pos < stop) {
      const tag = this.tag()
      if (tag === STRING_VALUE)
        if (is_kept) value = this.text(stop)
        else this.pos = this.enter(stop)
      else if (tag === INT_VALUE) value = this.#integer()
      else if (tag === DOUBLE_VALUE) value = this.double()
      else if (tag === BOOL_VALUE) value = this.bool()
      else if (tag === ARRAY_VALUE) value = this.#list(stop, depth + 1)
      else if (tag === KVLIST_VALUE) this.#checkMap(stop, depth + 1)
      else this.skipField(tag)
    }
    this.leave(stop)
    return is_kept ? value : undefined
  }

  #list(end: number, depth: number): AttributeValue[] {
    refuseDepth(depth)
    const stop = this.enter(end)
    const list: AttributeValue[] = []
    while (this.pos < stop) {
      const tag = this.tag()
      if (tag !== LIST_ITEM) {
        this.skipField(tag)
        continue
      }
      const value = this.value(stop, depth)
      if (value !== undefined && list.length < LIST_ITEMS_MAX) list.push(value)
    }
    this.leave(stop)
    return list
  }

  /** A map is not kept, but it must be one, and no deeper than any other value. */
  #checkMap(end: number, depth: number): void {
    refuseDepth(depth)
    const stop = this.enter(end)
    while (this.pos < stop) {
      const tag = this.tag()
      if (tag !== LIST_ITEM) {
        this.skipField(tag)
        continue
      }
      const inner = this.enter(stop)
      while (this.pos < inner) {
        const field = this.tag()
        if (field === VALUE) this.value(inner, depth)
        else this.skipField(field)
      }
      this.leave(inner)
    }
    this.leave(stop)
  }

  /** A varint of 64 bits: a number where that is exact, else a bigint. */
  #integer(): number | bigint {
    const start = this.pos
    let value = 0
    let scale = 1
    for (let index = 0; index < 7 && this.pos < this.len; index++) {
      const byte = this.buf[this.pos++] ?? 0
      value += (byte & 127) * scale
      if (byte < 128) return value
      scale *= 128
    }
    this.pos = start
    const { low, high } = this.int64()
    const exact = (BigInt(high) << 32n) | BigInt(low >>> 0)
    const number = Number(exact)
    return Number.isSafeInteger(number) ? number : exact
  }
}

function refuseDepth(depth: number): void {
  if (depth > VALUE_DEPTH_MAX) throw new BadPayload('values are nested too deeply')
}

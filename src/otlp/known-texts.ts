const SLOTS = 1_024
const KNOWN_BYTES_MAX = 48

/** Texts within some bytes: keys and short values repeat from item to item, and each is made once. */
export class KnownTexts {
  readonly #bytes: Buffer
  readonly #starts = new Int32Array(SLOTS)
  readonly #sizes = new Int32Array(SLOTS)
  readonly #texts = new Array<string>(SLOTS).fill('')

  readonly #make: (start: number, stop: number) => string

  /** `make` makes the text that stands there. */
  constructor(bytes: Buffer, make: (start: number, stop: number) => string) {
    this.#bytes = bytes
    this.#make = make
  }

  at(start: number, stop: number): string {
    const size = stop - start
    if (size === 0) return ''
    if (size > KNOWN_BYTES_MAX) return this.#make(start, stop)
    const slot = this.#slot(start, size)
    if (this.#sizes[slot] === size && this.#isSame(this.#starts[slot] ?? 0, start, size))
      return this.#texts[slot] ?? ''
    const text = this.#make(start, stop)
    this.#starts[slot] = start
    this.#sizes[slot] = size
    this.#texts[slot] = text
    return text
  }

  /** By a few of the bytes: all of them are compared anyway. */
  #slot(start: number, size: number): number {
    const bytes = this.#bytes
    let hash = size
    const step = (size >> 3) + 1
    for (let index = start + size - 1; index >= start; index -= step)
      hash = Math.imul(hash, 31) + (bytes[index] ?? 0)
    return (hash ^ (hash >>> 15)) & (SLOTS - 1)
  }

  #isSame(one: number, other: number, size: number): boolean {
    const bytes = this.#bytes
    for (let index = 0; index < size; index++)
      if (bytes[one + index] !== bytes[other + index]) return false
    return true
  }
}

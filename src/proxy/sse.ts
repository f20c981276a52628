/** A piece of an event stream that ends where an event or the stream does. */
export type SseBlock = {
  /** The bytes as they came, separator included. */
  readonly bytes: Buffer
  /** The event's data, its lines joined; null for comments and blocks without data. */
  readonly data: Buffer | null
}

export type SseSplitter = {
  feed(chunk: Buffer): void
  /** What is left when the stream ends is an event too: some servers leave out the last blank line. */
  end(): void
}

const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const DATA_LENGTH = 'data:'.length
const NEWLINE = Buffer.from('\n')
const EMPTY = Buffer.alloc(0)
/** An event without an end must not fill the memory: what is longer goes on in pieces that say nothing. */
const EVENT_BYTES_MAX = 64 * 1024 * 1024

/**
 * Cuts a stream of bytes into events, wherever its chunks end: inside a character, between the two
 * bytes of a line end. https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export function createSseSplitter(onBlock: (block: SseBlock) => void): SseSplitter {
  let parts: Buffer[] = []
  let parts_size = 0
  let line_size = 0
  /** The line ended at a CR, the last byte of a chunk: an LF that follows belongs to it. */
  let is_after_cr = false

  function emit(last: Buffer): void {
    const bytes = parts.length === 0 ? last : Buffer.concat([...parts, last])
    parts = []
    parts_size = 0
    onBlock({ bytes, data: dataOf(bytes) })
  }

  return {
    feed(chunk) {
      let block_start = 0
      let at = is_after_cr && chunk[0] === LF ? 1 : 0
      is_after_cr = false
      const nextEnd = lineEnds(chunk)
      while (at < chunk.length) {
        const end = nextEnd(at)
        line_size += end - at
        if (end === chunk.length) break
        at = end + 1
        if (chunk[end] === CR) {
          if (chunk[at] === LF) at++
          else if (at === chunk.length) is_after_cr = true
        }
        if (line_size === 0) {
          emit(chunk.subarray(block_start, at))
          block_start = at
        }
        line_size = 0
      }
      if (block_start === chunk.length) return
      parts.push(block_start === 0 ? chunk : chunk.subarray(block_start))
      parts_size += chunk.length - block_start
      if (parts_size <= EVENT_BYTES_MAX) return
      const bytes = Buffer.concat(parts)
      parts = []
      parts_size = 0
      onBlock({ bytes, data: null })
    },
    end() {
      if (parts.length > 0) emit(EMPTY)
    },
  }
}

/** Finds the next LF or CR at or after a position; the chunk's length where there is none. */
function lineEnds(chunk: Buffer): (from: number) => number {
  let lf = -1
  let cr = -1
  const next = (byte: number, from: number) => {
    const found = chunk.indexOf(byte, from)
    return found < 0 ? chunk.length : found
  }
  return (from) => {
    if (lf < from) lf = next(LF, from)
    if (cr < from) cr = next(CR, from)
    return Math.min(lf, cr)
  }
}

/** The data lines of a whole event; one line, as nearly always, is not copied. */
function dataOf(block: Buffer): Buffer | null {
  const lines: Buffer[] = []
  const nextEnd = lineEnds(block)
  for (let at = 0; at < block.length; ) {
    const end = nextEnd(at)
    if (startsWithData(block, at)) {
      const start = at + DATA_LENGTH
      lines.push(block.subarray(Math.min(block[start] === SPACE ? start + 1 : start, end), end))
    }
    at = end + 1
  }
  const [first, ...more] = lines
  if (!first) return null
  return more.length === 0
    ? first
    : Buffer.concat([first, ...more.flatMap((one) => [NEWLINE, one])])
}

function startsWithData(block: Buffer, at: number): boolean {
  return (
    block[at] === 0x64 &&
    block[at + 1] === 0x61 &&
    block[at + 2] === 0x74 &&
    block[at + 3] === 0x61 &&
    block[at + 4] === 0x3a
  )
}

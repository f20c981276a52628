/** A line of a file; `bytes` is undefined for one that is too long to be read. */
export type Line = {
  readonly bytes: Buffer | undefined
  /** Where the file goes on after it. */
  readonly end: number
  /** The file ended without a line break: the writer may not be done with it. */
  readonly is_last: boolean
}

export const LINE_BYTES_MAX = 32 * 2 ** 20
const NEWLINE = 0x0a

/** Cuts bytes into lines, a chunk's worth at a time, and holds no more than one line in memory. */
export async function* readLines(
  chunks: AsyncIterable<Buffer>,
  start = 0,
  line_bytes_max = LINE_BYTES_MAX,
): AsyncGenerator<Line[]> {
  let parts: Buffer[] = []
  let length = 0
  let at = start
  const take = (part: Buffer) => {
    length += part.length
    if (length <= line_bytes_max) parts.push(part)
    else parts = []
  }
  const finish = (is_last: boolean): Line => {
    const bytes = length > line_bytes_max ? undefined : Buffer.concat(parts)
    at += length + (is_last ? 0 : 1)
    parts = []
    length = 0
    return { bytes, end: at, is_last }
  }
  for await (const chunk of chunks) {
    const lines: Line[] = []
    let from = 0
    for (let to = chunk.indexOf(NEWLINE); to !== -1; to = chunk.indexOf(NEWLINE, from)) {
      take(chunk.subarray(from, to))
      lines.push(finish(false))
      from = to + 1
    }
    take(chunk.subarray(from))
    yield lines
  }
  if (length > 0) yield [finish(true)]
}

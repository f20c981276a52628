import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib'
import { type Api, isObject, type JsonObject, type Meter, textAt } from '../providers/wire.ts'
import { findLastObject, memberPattern, parseJson } from './json-bytes.ts'
import { createSseSplitter, type SseSplitter } from './sse.ts'
import { createTextEstimate } from './text-estimate.ts'

/**
 * Listens to the copy of an answer for what it says of usage. It never holds the answer up and never
 * breaks it: whatever goes wrong here, the worst is that usage is not known.
 */
export type Tap = {
  feed(chunk: Buffer): void
  /** A promise where a decoder must be waited for. */
  end(): Promise<void> | undefined
  /** Frees a decoder when the answer is over before its end. */
  close(): void
  readonly meter: Meter
  /** What the answer calls itself; null where it does not. */
  answerId(): string | null
  /** Whether the stream has said all that it will say of usage. */
  hasEnded(): boolean
  /** Bytes of the model's text that were seen. */
  textBytes(): number
  /** Why usage could not be read, if so. */
  problem(): string | null
}

export type TapOptions = {
  readonly content_type: string
  readonly content_encoding: string
  /** Gets a stream's events as they become whole: the bytes, and the data where it was parsed. */
  readonly onEvent?: (bytes: Buffer, value: JsonObject | null) => void
}

/** Answers beyond this are searched at their end instead of parsed. */
const PARSE_BYTES_MAX = 8 * 1024 * 1024
const KEEP_BYTES_MAX = 64 * 1024 * 1024
const DECODED_BYTES_MAX = 64 * 1024 * 1024

export function createTap(api: Api, counter: Meter, options: TapOptions): Tap {
  const { meter, answerId } = withAnswerId(api, counter)
  const reader = createReader(api, meter, options)
  const tap: Tap = {
    feed: (chunk) => reader.feed(chunk),
    end() {
      reader.end()
      return undefined
    },
    close() {},
    meter,
    answerId,
    hasEnded: () => reader.hasEnded(),
    textBytes: () => reader.textBytes(),
    problem: () => reader.problem(),
  }
  const encoding = options.content_encoding.trim().toLowerCase()
  return encoding === '' || encoding === 'identity' ? tap : decodeFirst(tap, encoding)
}

const ANSWER_ID_LENGTH_MAX = 256

/** The same meter, and the first id among what it takes. */
function withAnswerId({ answer_ids = [] }: Api, meter: Meter) {
  let id: string | null = null
  const take = (value: JsonObject) => {
    for (const path of id === null ? answer_ids : []) id ??= textAt(value, ...path)
    meter.take(value)
  }
  const answerId = () => (id === null || id.length > ANSWER_ID_LENGTH_MAX ? null : id)
  return { meter: { ...meter, take }, answerId }
}

type Reader = {
  feed(chunk: Buffer): void
  end(): void
  hasEnded(): boolean
  textBytes(): number
  problem(): string | null
}

function createReader(api: Api, meter: Meter, { content_type, onEvent }: TapOptions): Reader {
  if (/^text\/event-stream\b/i.test(content_type)) return createStreamReader(api, meter, onEvent)
  if (/jsonl|x-ndjson/i.test(content_type)) return createLineReader(meter)
  if (/\bjson\b/i.test(content_type) || content_type === '') return createBodyReader(api, meter)
  return SILENT
}

/** Pictures, speech and subtitles say nothing. */
const SILENT: Reader = {
  feed() {},
  end() {},
  hasEnded: () => false,
  textBytes: () => 0,
  problem: () => null,
}

type Decoder = ReturnType<typeof createGunzip>

const DECODERS: Readonly<Record<string, () => Decoder>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

/** An answer in an encoding that was not asked for: the client gets its bytes, the tap their meaning. */
function decodeFirst(tap: Tap, encoding: string): Tap {
  const decoder = DECODERS[encoding]?.()
  let problem: string | null = decoder ? null : "the answer's encoding is not known"
  let decoded = 0
  decoder?.on('data', (chunk: Buffer) => {
    decoded += chunk.length
    if (decoded <= DECODED_BYTES_MAX) return tap.feed(chunk)
    problem = 'the answer is too large when decoded'
    decoder.destroy()
  })
  decoder?.on('error', () => {
    problem = `the answer is not ${encoding}, though it says so`
  })
  const closed = new Promise<void>((resolve) => {
    if (decoder) decoder.once('close', resolve)
    else resolve()
  })
  return {
    ...tap,
    feed(chunk) {
      if (problem === null) decoder?.write(chunk)
    },
    async end() {
      decoder?.end()
      await closed
      await tap.end()
    },
    close: () => decoder?.destroy(),
    // Decoding lags behind the bytes: only the end is certain.
    hasEnded: () => false,
    problem: () => problem ?? tap.problem(),
  }
}

function createStreamReader(api: Api, meter: Meter, onEvent?: TapOptions['onEvent']): Reader {
  let has_ended = false
  let problem: string | null = null
  let is_first = true
  const text = createTextEstimate(api)
  const tellsUsage = memberPattern(api.markers)
  function read(bytes: Buffer, data: Buffer): JsonObject | null {
    const line = bytes.toString('latin1')
    has_ended ||= isDone(data) || api.endings.some((ending) => line.includes(ending))
    if (!is_first && !tellsUsage.test(line)) {
      text.add(data)
      return null
    }
    is_first = false
    const value = parseJson(data.toString())
    if (isObject(value)) {
      meter.take(value)
      return value
    }
    takeFragments(api, meter, data)
    return null
  }
  const splitter: SseSplitter = createSseSplitter(({ bytes, data }) => {
    let value: JsonObject | null = null
    try {
      if (data !== null) value = read(bytes, data)
    } catch {
      problem = 'the stream could not be read'
    }
    onEvent?.(bytes, value)
  })
  return {
    ...splitter,
    hasEnded: () => has_ended,
    textBytes: () => text.bytes(),
    problem: () => problem,
  }
}

/** The end of OpenAI's streams, as the whole of an event: a model can write the same within its text. */
function isDone(data: Buffer): boolean {
  return data.length < 32 && data.toString().trim() === '[DONE]'
}

/** One document, or a JSON list that comes in pieces. */
function createBodyReader(api: Api, meter: Meter): Reader {
  let chunks: Buffer[] = []
  let size = 0
  let text_bytes = 0
  let problem: string | null = null
  return {
    feed(chunk) {
      chunks.push(chunk)
      size += chunk.length
      // Usage stands near the end: of what is too large only that is kept.
      while (size > KEEP_BYTES_MAX && chunks.length > 1) size -= chunks.shift()?.length ?? 0
    },
    end() {
      const [first] = chunks
      const bytes = chunks.length === 1 && first ? first : Buffer.concat(chunks)
      chunks = []
      try {
        const value = readBody(api, meter, bytes)
        if (isObject(value)) text_bytes = Buffer.byteLength(api.readText(value))
        else if (value === undefined && meter.reading() === null)
          problem = 'the answer is not what it says it is'
      } catch {
        problem = 'the answer could not be read'
      }
    },
    hasEnded: () => false,
    textBytes: () => text_bytes,
    problem: () => problem,
  }
}

function readBody(api: Api, meter: Meter, bytes: Buffer): unknown {
  const value = bytes.length <= PARSE_BYTES_MAX ? parseJson(bytes.toString()) : undefined
  if (isObject(value)) meter.take(value)
  else if (Array.isArray(value)) takeAll(meter, value)
  else if (/^\s*(?:data|event|id|:)/.test(bytes.toString('latin1', 0, 64))) {
    const reader = createStreamReader(api, meter)
    reader.feed(bytes)
    reader.end()
  } else takeFragments(api, meter, bytes)
  return value
}

/** Lines of JSON, of which there can be more than fit into memory: each is read as it comes. */
function createLineReader(meter: Meter): Reader {
  let rest: Buffer[] = []
  let size = 0
  let problem: string | null = null
  function read(): void {
    const value = parseJson(Buffer.concat(rest).toString())
    rest = []
    size = 0
    if (isObject(value)) meter.take(value)
  }
  function keep(part: Buffer): void {
    size += part.length
    if (size <= KEEP_BYTES_MAX) rest.push(part)
    else problem = 'a line of the answer is too long'
  }
  return {
    feed(chunk) {
      let at = 0
      for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, at)) {
        keep(chunk.subarray(at, end))
        read()
        at = end + 1
      }
      keep(chunk.subarray(at))
    },
    end: read,
    hasEnded: () => false,
    textBytes: () => 0,
    problem: () => problem,
  }
}

const LF = 0x0a

function takeAll(meter: Meter, values: readonly unknown[]): void {
  for (const one of values) if (isObject(one)) meter.take(one)
}

/** Too large to parse, or cut off: what it says of usage can still be whole. */
function takeFragments(api: Api, meter: Meter, bytes: Buffer): void {
  for (const name of api.markers) {
    const usage = findLastObject(bytes, name)
    if (isObject(usage)) meter.take({ [name]: usage })
  }
}

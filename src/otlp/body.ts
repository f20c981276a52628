import type { IncomingMessage } from 'node:http'
import { constants, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { FULL, type Refusal } from './answer.ts'
import { BODY_BYTES_MAX } from './limits.ts'

/** Bytes that are held in memory for all requests together. */
export type Space = {
  /** False: there is no room for so many more. */
  take(bytes: number): boolean
}

/** The body cannot be had. `refusal` says it to the sender. */
export class BodyError extends Error {
  override readonly name = 'BodyError'
  readonly refusal: Refusal

  constructor(refusal: Refusal, cause?: unknown) {
    super(refusal.message, { cause })
    this.refusal = refusal
  }
}

type Coding = keyof typeof DECODERS

const CHUNK_BYTES = 64 * 2 ** 10
/** A zstd frame may ask for a window of gigabytes; twice the largest body is more than it can use. */
const ZSTD_WINDOW_LOG_MAX = 25

const DECODERS = {
  gzip: () => createGunzip({ chunkSize: CHUNK_BYTES }),
  // HTTP's deflate is the zlib format: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
  deflate: () => createInflate({ chunkSize: CHUNK_BYTES }),
  zstd: () =>
    createZstdDecompress({
      chunkSize: CHUNK_BYTES,
      params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    }),
}

/**
 * The whole body, decompressed. What is too large is given up as soon as that is seen, and what was
 * not read is left to the server to drain.
 * @throws BodyError
 */
export async function readBody(incoming: IncomingMessage, space: Space): Promise<Buffer> {
  const coding = codingOf(incoming.headers['content-encoding'])
  if (Number(incoming.headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw tooLarge()
  const received = await receive(incoming, space)
  return coding === undefined || received.length === 0
    ? received
    : decompress(received, coding, space)
}

function codingOf(header: string | undefined): Coding | undefined {
  const coding = header?.trim().toLowerCase() || 'identity'
  if (coding === 'identity') return undefined
  if (Object.hasOwn(DECODERS, coding)) return coding as Coding
  const known = Object.keys(DECODERS).join(', ')
  throw new BodyError({
    status: 415,
    message: `The content encoding is not known. Known: ${known}, identity.`,
    headers: { 'Accept-Encoding': known },
  })
}

async function receive(incoming: IncomingMessage, space: Space): Promise<Buffer> {
  try {
    // Leaving the loop early must not destroy the stream: its socket carries the answer.
    return await collect(incoming.iterator({ destroyOnReturn: false }), space)
  } catch (error) {
    if (error instanceof BodyError) throw error
    throw new BodyError({ status: 400, message: 'The body ended too early.' }, error)
  }
}

async function decompress(received: Buffer, coding: Coding, space: Space): Promise<Buffer> {
  const decoder = DECODERS[coding]()
  decoder.end(received)
  try {
    return await collect(decoder, space)
  } catch (error) {
    if (error instanceof BodyError) throw error
    throw new BodyError({ status: 400, message: `The body is not valid ${coding}.` }, error)
  }
}

async function collect(source: AsyncIterable<Buffer>, space: Space): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > BODY_BYTES_MAX) throw tooLarge()
    if (!space.take(chunk.length)) throw new BodyError(FULL)
    chunks.push(chunk)
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size)
}

function tooLarge(): BodyError {
  const megabytes = BODY_BYTES_MAX / 2 ** 20
  return new BodyError({
    status: 413,
    message: `A body may have ${megabytes} MiB, before and after decompression. Send smaller batches.`,
  })
}

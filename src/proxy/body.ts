import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { isObject, type JsonObject } from '../providers/wire.ts'
import { findDuplicate, parseJson, scanObject } from './json-bytes.ts'
import { Refusal } from './refusal.ts'

/** The largest body that is taken, before and after decoding. */
export const BODY_BYTES_MAX = 64 * 1024 * 1024

export type Body = {
  /** As the client sent it. */
  readonly bytes: Buffer
  /** The same without its content-encoding. */
  readonly plain: Buffer
  /** What it says: a JSON object, or the fields of a form. Empty where there is no body. */
  readonly value: JsonObject
  /** The JSON as text, for cheap searches; empty for forms. */
  readonly text: string
  /** Only plain JSON can be edited. */
  readonly is_editable: boolean
}

const NOTHING = Buffer.alloc(0)
const EMPTY: Body = { bytes: NOTHING, plain: NOTHING, value: {}, text: '', is_editable: false }

/** @throws Refusal for what is too large, not readable or ambiguous. */
export async function readBody(incoming: IncomingMessage): Promise<Body> {
  const bytes = await bufferBody(incoming)
  if (bytes.length === 0) return EMPTY
  refuseTwice(incoming.rawHeaders)
  const encoding = (incoming.headers['content-encoding'] ?? '').trim().toLowerCase()
  const is_encoded = encoding !== '' && encoding !== 'identity'
  const plain = is_encoded ? await decode(bytes, encoding) : bytes
  const type = incoming.headers['content-type'] ?? ''
  const boundary = boundaryOf(type)
  if (boundary !== undefined) {
    const value = parseForm(plain, boundary)
    return { bytes, plain, value, text: '', is_editable: false }
  }
  const text = plain.toString()
  const value = parseJson(text)
  if (!isObject(value))
    throw new Refusal('bad_request', 'The body is not a JSON object, so that it cannot be metered.')
  refuseDuplicates(plain)
  return { bytes, plain, value, text: searchable(text, value), is_editable: !is_encoded }
}

async function bufferBody(incoming: IncomingMessage): Promise<Buffer> {
  const { method } = incoming
  if (method === 'GET' || method === 'HEAD') return EMPTY.bytes
  if (Number(incoming.headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw tooLarge()
  // The client can leave while the proxy is opened: no event will tell any more.
  if (incoming.destroyed) throw endedEarly()
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    incoming.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= BODY_BYTES_MAX) chunks.push(chunk)
      else if (size - chunk.length <= BODY_BYTES_MAX) {
        chunks.length = 0
        reject(tooLarge())
      }
    })
    incoming.once('end', () => {
      const [first] = chunks
      resolve(chunks.length === 1 && first ? first : Buffer.concat(chunks))
    })
    incoming.once('error', () => reject(endedEarly()))
    incoming.once('close', () => {
      if (!incoming.readableEnded) reject(endedEarly())
    })
  })
}

function endedEarly(): Refusal {
  return new Refusal('bad_request', 'The body ended early.')
}

function tooLarge(): Refusal {
  return new Refusal('too_large', `The body is larger than ${BODY_BYTES_MAX / 1024 / 1024} MiB.`)
}

const DECODERS: Readonly<
  Record<string, (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
}

async function decode(bytes: Buffer, encoding: string): Promise<Buffer> {
  const decoder = DECODERS[encoding]
  if (!decoder)
    throw new Refusal(
      'encoding_unsupported',
      `A body in this content-encoding cannot be metered. Send it plain, or as ${Object.keys(DECODERS).join(', ')}.`,
    )
  try {
    return await decoder(bytes, { maxOutputLength: BODY_BYTES_MAX })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE')
      throw tooLarge()
    throw new Refusal('bad_request', `The body is not ${encoding}, though it says so.`)
  }
}

/** Objects in which what is said decides what is billed. */
const NESTED = ['generationConfig', 'generation_config', 'stream_options']

/** Of two members with one name servers take different ones: what would be billed is anyone's guess. */
function refuseDuplicates(plain: Buffer): void {
  const span = scanObject(plain)
  if (!span) return
  const nested = span.members
    .filter(({ name }) => NESTED.includes(name))
    .map(({ value_start }) => scanObject(plain, value_start))
  for (const one of [span, ...nested]) {
    const name = one && findDuplicate(one)
    if (name !== undefined)
      throw new Refusal('bad_request', `The body has the member "${name.slice(0, 40)}" twice.`)
  }
}

/** Words can hide behind escapes; written out again they cannot. */
function searchable(text: string, value: JsonObject): string {
  return text.includes('\\u00') ? JSON.stringify(value) : text
}

const FIELD_BYTES_MAX = 256 * 1024

/** Of two that say how a body is to be read Node shows the first, and forwards both. */
function refuseTwice(raw_headers: readonly string[]): void {
  let seen = ''
  for (let i = 0; i < raw_headers.length; i += 2) {
    const name = raw_headers[i] ?? ''
    if (name.length !== TYPE.length && name.length !== ENCODING.length) continue
    const lower = name.toLowerCase()
    if (lower !== TYPE && lower !== ENCODING) continue
    if (seen.includes(lower))
      throw new Refusal('bad_request', `The request has two ${lower} headers.`)
    seen += lower
  }
}

const TYPE = 'content-type'
const ENCODING = 'content-encoding'

/** @throws Refusal for a form with two: servers differ in which of them they obey. */
function boundaryOf(type: string): string | undefined {
  if (!/^multipart\/form-data\s*;/i.test(type)) return undefined
  const [first, ...others] = [...type.matchAll(/boundary\s*=\s*"?([^";]+)/gi)]
  if (others.length > 0) throw new Refusal('bad_request', 'The form has two boundaries.')
  return first?.[1]?.trim()
}

/** The text fields of a form, and its files with their sizes. */
function parseForm(bytes: Buffer, boundary: string): JsonObject {
  // Without a prototype: a field may have any name.
  const fields: { [name: string]: unknown } = Object.create(null)
  const mark = Buffer.from(`--${boundary}`)
  let at = bytes.indexOf(mark)
  while (at >= 0) {
    const next = bytes.indexOf(mark, at + mark.length)
    if (next < 0) break
    const head_end = bytes.indexOf('\r\n\r\n', at)
    if (head_end < 0 || head_end >= next) throw unreadablePart()
    addField(fields, bytes.toString('utf8', at, head_end), bytes.subarray(head_end + 4, next - 2))
    at = next
  }
  if (Object.keys(fields).length === 0)
    throw new Refusal('bad_request', 'The body is not the form that it says it is.')
  return fields
}

/** A field that only the server can read could be the one that decides what is billed. */
function unreadablePart(): Refusal {
  return new Refusal('bad_request', 'A part of the form has no name that can be read.')
}

function addField(fields: { [name: string]: unknown }, head: string, value: Buffer): void {
  const name = /[;\s]name="([^"]*)"/i.exec(head)?.[1]
  if (name === undefined || /[;\s]name\*/i.test(head)) throw unreadablePart()
  const is_file = /[;\s]filename\*?=/i.test(head)
  if (!is_file && name in fields && !name.endsWith('[]'))
    throw new Refusal('bad_request', `The form has the field "${name.slice(0, 40)}" twice.`)
  if (is_file) fields[name] = { bytes: value.length, content: value }
  else if (value.length <= FIELD_BYTES_MAX) fields[name] = value.toString()
}

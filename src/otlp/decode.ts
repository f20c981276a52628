import type { Decoded, Signal } from './decode-batch.ts'
import { decodeJson } from './decode-json.ts'
import { decodeProtobuf } from './decode-protobuf.ts'

export type Encoding = 'protobuf' | 'json'

/** An empty body is an empty batch. @throws BadPayload or TooManyItems */
export function decode(signal: Signal, encoding: Encoding, body: Buffer): Decoded {
  return encoding === 'json' ? decodeJson(signal, body) : decodeProtobuf(signal, body)
}

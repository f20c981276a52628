import type { Decoded, Signal } from './decode-batch.ts'
import { decodeJson } from './decode-json.ts'
import { decodeProtobuf } from './decode-protobuf.ts'
import type { Sieve } from './sieve.ts'

export type Encoding = 'protobuf' | 'json'

/**
 * Of what does not pass the sieve only the number is kept. An empty body is an empty batch.
 * @throws BadPayload or TooManyItems
 */
export function decode(signal: Signal, encoding: Encoding, body: Buffer, sieve?: Sieve): Decoded {
  return (encoding === 'json' ? decodeJson : decodeProtobuf)(signal, body, sieve)
}

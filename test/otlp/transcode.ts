import { exportRequest } from './descriptors.ts'

export type Json = { readonly [name: string]: unknown }

/** Ids are hexadecimal in OTLP's JSON, unlike in that of any other protobuf: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding */
const IDS = /^(traceId|spanId|parentSpanId)$/

/** An export request in the other encoding, by protobufjs and descriptors of our own. */
export function toProtobuf(signal: string, json: Json): Buffer {
  const plain = JSON.parse(JSON.stringify(json), (key, value) =>
    value === null ? undefined : IDS.test(key) ? [...Buffer.from(String(value), 'hex')] : value,
  )
  const type = exportRequest(signal)
  return Buffer.from(type.encode(type.fromObject(plain)).finish())
}

export function toJson(signal: string, body: Uint8Array): Json {
  const type = exportRequest(signal)
  const plain = type.toObject(type.decode(body), { longs: String })
  return JSON.parse(
    JSON.stringify(plain, (key, value) =>
      IDS.test(key) ? Buffer.from(value.data ?? value).toString('hex') : value,
    ),
  )
}

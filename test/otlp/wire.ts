import protobuf from 'protobufjs/minimal.js'

export type Tree = { readonly [field: number]: Wire | readonly Wire[] }
type Varint = { readonly varint: number | string }
type Wire = string | bigint | number | boolean | Uint8Array | Varint | Tree

/**
 * A protobuf message from field numbers: texts, bytes and messages are length-delimited, bigints are
 * fixed64, numbers doubles.
 */
export function encode(tree: Tree): Buffer {
  const writer = protobuf.Writer.create()
  for (const [field, value] of Object.entries(tree))
    for (const one of Array.isArray(value) ? value : [value]) write(writer, Number(field), one)
  return Buffer.from(writer.finish())
}

function write(writer: protobuf.Writer, field: number, value: Wire): void {
  const tag = (type: number) => writer.uint32((field << 3) | type)
  if (typeof value === 'string') tag(2).string(value)
  else if (typeof value === 'bigint') tag(1).fixed64(value.toString())
  else if (typeof value === 'number') tag(1).double(value)
  else if (typeof value === 'boolean') tag(0).bool(value)
  else if (value instanceof Uint8Array) tag(2).bytes(value)
  else if ('varint' in value) tag(0).int64(value.varint)
  else tag(2).bytes(encode(value))
}

export function attribute(key: string, value: Wire | undefined, field = 1): Tree {
  return { 1: key, 2: value === undefined ? {} : { [field]: value } }
}

/** An ExportLogsServiceRequest of one resource and scope. */
export function logsBody(records: readonly (Tree | Uint8Array)[]): Buffer {
  const resource = { 1: [attribute('service.name', 'codex_exec')] }
  return encode({ 1: { 1: resource, 2: { 1: { 1: 'codex_otel.log_only' }, 2: records } } })
}

import {
  BadPayload,
  type Bag,
  Collector,
  createBag,
  type Decoded,
  type Origin,
  type Signal,
  TooManyItems,
} from './decode-batch.ts'
import { ATTRIBUTES_MAX } from './limits.ts'
import { readMetric } from './proto-metric.ts'
import { ProtoReader } from './proto-reader.ts'
import { eventName, type Sieve } from './sieve.ts'

/**
 * Tags (field number × 8 + wire type) of the OTLP messages; the outer three layers have the same
 * numbers in all signals. A known field of another wire type is skipped like an unknown one.
 * https://github.com/open-telemetry/opentelemetry-proto/tree/v1.11.0/opentelemetry/proto
 */
const GROUPS = 0x0a
const RESOURCE = 0x0a
const SCOPES = 0x12
const SCOPE = 0x0a
const ITEMS = 0x12
const RESOURCE_ATTRIBUTE = 0x0a
const SCOPE_NAME = 0x0a
const SCOPE_VERSION = 0x12

const LOG = {
  time: 0x09,
  body: 0x2a,
  attribute: 0x32,
  trace_id: 0x4a,
  span_id: 0x52,
  observed: 0x59,
  event_name: 0x62,
} as const

const SPAN = {
  trace_id: 0x0a,
  span_id: 0x12,
  parent_span_id: 0x22,
  name: 0x2a,
  start: 0x39,
  end: 0x41,
  attribute: 0x4a,
} as const

type ReadItem = (reader: ProtoReader, end: number, origin: Origin, into: Collector) => void
/** Looks whether an item is to be read; gives the client that it is ignored of, or nothing. */
type PeekItem = (
  reader: ProtoReader,
  end: number,
  origin: Origin,
  sieve: Sieve,
) => string | undefined

const READ: Readonly<Record<Signal, ReadItem>> = {
  logs: readLogRecord,
  traces: readSpan,
  metrics: readMetric,
}

const PEEK: Readonly<Record<Signal, PeekItem | undefined>> = {
  logs: peeker({ attribute: LOG.attribute, name: LOG.event_name, body: LOG.body }, eventName),
  traces: peeker({ attribute: SPAN.attribute, name: SPAN.name }, ({ event_name }) => event_name),
  metrics: undefined,
}

/** @throws BadPayload or TooManyItems; nothing else, whatever the bytes are. */
export function decodeProtobuf(signal: Signal, body: Buffer, sieve?: Sieve): Decoded {
  const into = new Collector()
  try {
    const reader = new ProtoReader(body)
    const readItem = itemReader(signal, into, sieve)
    reader.each(GROUPS, reader.len, () => readGroup(reader, reader.len, readItem))
  } catch (error) {
    if (error instanceof TooManyItems) throw error
    // The wire reader's errors tell positions and lengths, never content.
    const reason = error instanceof Error ? error.message : 'unreadable'
    throw new BadPayload(`The body is not a valid OTLP protobuf message: ${reason}.`)
  }
  return into.decoded(signal)
}

type ReadOne = (reader: ProtoReader, end: number, origin: Origin) => void

function itemReader(signal: Signal, into: Collector, sieve: Sieve | undefined): ReadOne {
  const read = READ[signal]
  const peek = PEEK[signal]
  if (!sieve || !peek) return (reader, end, origin) => read(reader, end, origin, into)
  return (reader, end, origin) => {
    const start = reader.pos
    const ignored_of = peek(reader, end, origin, sieve)
    if (ignored_of !== undefined) return into.ignore(ignored_of)
    reader.pos = start
    read(reader, end, origin, into)
  }
}

/** Twice through its fields: the resource may come after what belongs to it. */
function readGroup(reader: ProtoReader, end: number, readItem: ReadOne): void {
  const stop = reader.enter(end)
  const start = reader.pos
  const resource = createBag()
  reader.each(RESOURCE, stop, () => readResource(reader, stop, resource))
  reader.pos = start
  reader.each(SCOPES, stop, () => readScope(reader, stop, resource, readItem))
}

function readResource(reader: ProtoReader, end: number, resource: Bag): void {
  const stop = reader.enter(end)
  let size = 0
  reader.each(RESOURCE_ATTRIBUTE, stop, () => {
    size = reader.attribute(resource, stop, size)
  })
}

function readScope(reader: ProtoReader, end: number, resource: Bag, readItem: ReadOne): void {
  const stop = reader.enter(end)
  const start = reader.pos
  const scope = { name: '', version: '' }
  const origin = { resource, scope }
  reader.each(SCOPE, stop, () => readScopeName(reader, stop, scope))
  reader.pos = start
  reader.each(ITEMS, stop, () => readItem(reader, stop, origin))
}

function readScopeName(
  reader: ProtoReader,
  end: number,
  scope: { name: string; version: string },
): void {
  const stop = reader.enter(end)
  while (reader.pos < stop) {
    const tag = reader.tag()
    if (tag === SCOPE_NAME) scope.name = reader.text(stop)
    else if (tag === SCOPE_VERSION) scope.version = reader.text(stop)
    else reader.skipField(tag)
  }
  reader.leave(stop)
}

function readLogRecord(reader: ProtoReader, end: number, origin: Origin, into: Collector): void {
  const stop = reader.enter(end)
  const attributes = createBag()
  let size = 0
  let event_name = ''
  let body: string | null = null
  let time_ns = 0n
  let observed_ns = 0n
  let trace_id = ''
  let span_id = ''
  while (reader.pos < stop) {
    const tag = reader.tag()
    if (tag === LOG.attribute) size = reader.attribute(attributes, stop, size)
    else if (tag === LOG.time) time_ns = reader.instant()
    else if (tag === LOG.observed) observed_ns = reader.instant()
    else if (tag === LOG.body) {
      const value = reader.value(stop, 0)
      body = typeof value === 'string' ? value : null
    } else if (tag === LOG.event_name) event_name = reader.text(stop)
    else if (tag === LOG.trace_id) trace_id = reader.hexId(stop, 16)
    else if (tag === LOG.span_id) span_id = reader.hexId(stop, 8)
    else reader.skipField(tag)
  }
  reader.leave(stop)
  const { resource, scope } = origin
  into.addRecord({
    resource,
    scope,
    attributes,
    event_name,
    body,
    time_ns,
    observed_ns,
    trace_id,
    span_id,
  })
}

/** Events and links carry no usage and stay unread. */
function readSpan(reader: ProtoReader, end: number, origin: Origin, into: Collector): void {
  const stop = reader.enter(end)
  const attributes = createBag()
  let size = 0
  let name = ''
  let trace_id = ''
  let span_id = ''
  let parent_span_id = ''
  let start_ns = 0n
  let end_ns = 0n
  while (reader.pos < stop) {
    const tag = reader.tag()
    if (tag === SPAN.attribute) size = reader.attribute(attributes, stop, size)
    else if (tag === SPAN.name) name = reader.text(stop)
    else if (tag === SPAN.trace_id) trace_id = reader.hexId(stop, 16)
    else if (tag === SPAN.span_id) span_id = reader.hexId(stop, 8)
    else if (tag === SPAN.parent_span_id) parent_span_id = reader.hexId(stop, 8)
    else if (tag === SPAN.start) start_ns = reader.instant()
    else if (tag === SPAN.end) end_ns = reader.instant()
    else reader.skipField(tag)
  }
  reader.leave(stop)
  const { resource, scope } = origin
  into.addSpan({
    resource,
    scope,
    attributes,
    name,
    trace_id,
    span_id,
    parent_span_id,
    start_ns,
    end_ns,
  })
}

type Named = Parameters<typeof eventName>[0]

/** Reads of an item only what decides; `tags` are those of its fields. */
function peeker(
  tags: { readonly attribute: number; readonly name: number; readonly body?: number },
  nameOf: (named: Named) => string,
): PeekItem {
  return (reader, end, { resource, scope }, { keys, ignoredAs }) => {
    const stop = reader.enter(end)
    const attributes = createBag()
    let size = 0
    let event_name = ''
    let body: string | null = null
    while (reader.pos < stop) {
      const tag = reader.tag()
      if (tag === tags.attribute) {
        reader.attribute(attributes, stop, 0, keys)
        size++
      } else if (tag === tags.name) event_name = reader.text(stop)
      else if (tag === tags.body) {
        const value = reader.value(stop, 0)
        body = typeof value === 'string' ? value : null
      } else reader.skipField(tag)
    }
    reader.leave(stop)
    if (size > ATTRIBUTES_MAX) return undefined
    return ignoredAs({ resource, scope, attributes }, nameOf({ attributes, event_name, body }))
  }
}

import {
  BadPayload,
  type Bag,
  Collector,
  clip,
  createBag,
  type Decoded,
  type Origin,
  type Signal,
} from './decode-batch.ts'
import { guardJson } from './json-guard.ts'
import { readMetric } from './json-metric.ts'
import { JsonReader } from './json-reader.ts'
import {
  BAD_ITEM,
  hexIdOf,
  instantOf,
  isObject,
  type Json,
  readAttributes,
  readValue,
  textOf,
} from './json-value.ts'
import { ATTRIBUTES_MAX, VALUE_DEPTH_MAX } from './limits.ts'
import { eventName, type Sieve } from './sieve.ts'

type ReadItem = (item: Json, origin: Origin, into: Collector) => void
/** Looks whether an item is to be read; gives the client that it is ignored of, or nothing. */
type PeekItem = (reader: JsonReader, origin: Origin, sieve: Sieve) => string | undefined
type Names = { readonly groups: string; readonly scopes: string; readonly items: string }

const NAMES: Readonly<Record<Signal, Names>> = {
  logs: { groups: 'resourceLogs', scopes: 'scopeLogs', items: 'logRecords' },
  traces: { groups: 'resourceSpans', scopes: 'scopeSpans', items: 'spans' },
  metrics: { groups: 'resourceMetrics', scopes: 'scopeMetrics', items: 'metrics' },
}

const READ: Readonly<Record<Signal, ReadItem>> = {
  logs: readLogRecord,
  traces: readSpan,
  metrics: readMetric,
}

const PEEK: Readonly<Record<Signal, PeekItem | undefined>> = {
  logs: peekLogRecord,
  traces: peekSpan,
  metrics: undefined,
}

/**
 * Keys are lowerCamelCase only, ids are hex, 64-bit integers come as texts or numbers, null is absent
 * and unknown fields are skipped: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 * @throws BadPayload or TooManyItems; nothing else, whatever the bytes are.
 */
export function decodeJson(signal: Signal, body: Buffer, sieve?: Sieve): Decoded {
  const into = new Collector()
  if (body.length > 0) {
    guardJson(body)
    const reader = new JsonReader(body)
    readExport(reader, NAMES[signal], itemReader(reader, signal, into, sieve))
    reader.end()
  }
  return into.decoded(signal)
}

type ReadOne = (origin: Origin) => void

function readExport(reader: JsonReader, names: Names, readOne: ReadOne): void {
  if (!reader.is('object')) throw new BadPayload('The body is not a JSON object.')
  for (let key = reader.firstField(); key !== undefined; key = reader.nextField())
    if (key !== names.groups) reader.skip()
    else eachOf(reader, key, () => readGroup(reader, names, readOne))
}

function readGroup(reader: JsonReader, { groups, scopes, items }: Names, readOne: ReadOne): void {
  let resource = createBag()
  const readResource = () => {
    const value = reader.value()
    resource = readAttributes(isObject(value) ? value['attributes'] : undefined)
  }
  const readScope = () => {
    let scope: Origin['scope'] = { name: '', version: '' }
    const readName = () => {
      scope = scopeOf(reader.value())
    }
    const readItems = () => eachOf(reader, items, () => readOne({ resource, scope }))
    requireObject(reader, scopes)
    reader.inOrder('scope', readName, items, readItems)
  }
  requireObject(reader, groups)
  reader.inOrder('resource', readResource, scopes, () => eachOf(reader, scopes, readScope))
}

/** Null and absent are the same. */
function eachOf(reader: JsonReader, key: string, read: () => void): void {
  if (reader.is('list')) for (let has = reader.firstItem(); has; has = reader.nextItem()) read()
  else if (reader.is('null')) reader.skip()
  else throw new BadPayload(`The field ${key} is not a list.`)
}

function requireObject(reader: JsonReader, key: string): void {
  if (!reader.is('object'))
    throw new BadPayload(`The field ${key} holds something that is no object.`)
}

function itemReader(
  reader: JsonReader,
  signal: Signal,
  into: Collector,
  sieve: Sieve | undefined,
): ReadOne {
  const read = READ[signal]
  const peek = PEEK[signal]
  if (!sieve || !peek) return (origin) => readItem(read, reader.value(), origin, into)
  return (origin) => {
    if (!reader.is('object')) return readItem(read, reader.value(), origin, into)
    const start = reader.pos
    const ignored_of = peek(reader, origin, sieve)
    if (ignored_of !== undefined) return into.ignore(ignored_of)
    readItem(read, reader.since(start), origin, into)
  }
}

function scopeOf(scope: unknown): Origin['scope'] {
  if (!isObject(scope)) return { name: '', version: '' }
  return { name: textOf(scope['name']), version: textOf(scope['version']) }
}

function readItem(read: ReadItem, item: unknown, origin: Origin, into: Collector): void {
  if (item === null) return
  try {
    if (!isObject(item)) throw BAD_ITEM
    read(item, origin, into)
  } catch (error) {
    if (error !== BAD_ITEM) throw error
    into.reject()
  }
}

function readLogRecord(item: Json, { resource, scope }: Origin, into: Collector): void {
  into.addRecord({
    resource,
    scope,
    attributes: readAttributes(item['attributes']),
    event_name: textOf(item['eventName']),
    body: bodyOf(item['body']),
    time_ns: instantOf(item['timeUnixNano']),
    observed_ns: instantOf(item['observedTimeUnixNano']),
    trace_id: hexIdOf(item['traceId'], 32),
    span_id: hexIdOf(item['spanId'], 16),
  })
}

/** As Codex writes them: a guess that makes it faster where it is right. */
const LOG_FIELDS = [
  'timeUnixNano',
  'observedTimeUnixNano',
  'severityNumber',
  'severityText',
  'body',
  'attributes',
  'droppedAttributesCount',
  'flags',
  'traceId',
  'spanId',
  'eventName',
]

function peekLogRecord(
  reader: JsonReader,
  { resource, scope }: Origin,
  { keys, ignoredAs }: Sieve,
): string | undefined {
  const attributes = createBag()
  let is_plain = true
  let event_name = ''
  let body_at = -1
  let index = 0
  for (
    let key = reader.firstField(LOG_FIELDS[index]);
    key !== undefined;
    key = reader.nextField(LOG_FIELDS[++index])
  )
    if (key === 'attributes') is_plain = peekAttributes(reader, attributes, keys) && is_plain
    else if (INSTANTS.includes(key)) is_plain = reader.skipDigits() && is_plain
    else if (key === 'eventName' && reader.is('text')) event_name = clip(reader.text())
    else {
      if (key === 'body') body_at = reader.pos
      if (reader.skip() > VALUE_DEPTH_MAX) is_plain = false
    }
  if (!is_plain) return undefined
  const named = eventName({ attributes, event_name, body: null })
  const name =
    named === '' && body_at >= 0 ? reader.at(body_at, () => bodyOf(reader.value())) : named
  return ignoredAs({ resource, scope, attributes }, name ?? '')
}

/** Only a text says something. */
function bodyOf(value: unknown): string | null {
  const body = readValue(value, 0)
  return typeof body === 'string' ? body : null
}

function readSpan(item: Json, { resource, scope }: Origin, into: Collector): void {
  into.addSpan({
    resource,
    scope,
    attributes: readAttributes(item['attributes']),
    name: textOf(item['name']),
    trace_id: hexIdOf(item['traceId'], 32),
    span_id: hexIdOf(item['spanId'], 16),
    parent_span_id: hexIdOf(item['parentSpanId'], 16),
    start_ns: instantOf(item['startTimeUnixNano']),
    end_ns: instantOf(item['endTimeUnixNano']),
  })
}

function peekSpan(
  reader: JsonReader,
  { resource, scope }: Origin,
  { keys, ignoredAs }: Sieve,
): string | undefined {
  const attributes = createBag()
  let is_plain = true
  let name = ''
  for (let key = reader.firstField(); key !== undefined; key = reader.nextField())
    if (key === 'attributes') is_plain = peekAttributes(reader, attributes, keys) && is_plain
    else if (INSTANTS.includes(key)) is_plain = reader.skipDigits() && is_plain
    else if (key === 'name' && reader.is('text')) name = clip(reader.text())
    else reader.skip()
  return is_plain ? ignoredAs({ resource, scope, attributes }, name) : undefined
}

const INSTANTS = ['timeUnixNano', 'observedTimeUnixNano', 'startTimeUnixNano', 'endTimeUnixNano']

/** The attributes that are asked for; false: there is more to them than a look can tell. */
function peekAttributes(reader: JsonReader, bag: Bag, keys: ReadonlySet<string>): boolean {
  if (!reader.is('list')) return reader.skip() === 0
  let size = 0
  let deepest = 0
  for (let has = reader.firstItem(); has; has = reader.nextItem()) {
    size++
    deepest = Math.max(
      deepest,
      reader.is('object') ? peekAttribute(reader, bag, keys) : reader.skip(),
    )
  }
  return size <= ATTRIBUTES_MAX && deepest <= VALUE_DEPTH_MAX
}

function peekAttribute(reader: JsonReader, bag: Bag, keys: ReadonlySet<string>): number {
  let name = ''
  let value_at = -1
  let deepest = 0
  for (let key = reader.firstField('key'); key !== undefined; key = reader.nextField('value'))
    if (key === 'key' && reader.is('text')) name = reader.text()
    else {
      if (key === 'value') value_at = reader.pos
      deepest = Math.max(deepest, reader.skip())
    }
  if (value_at < 0 || !keys.has(name)) return deepest
  const back = reader.pos
  reader.pos = value_at
  const value = peekText(reader) ?? readValue(reader.value(), 0)
  reader.pos = back
  if (value !== undefined) bag[name] = value
  return deepest
}

/** A value that is a text and nothing else; undefined, and nothing was read: it is another. */
function peekText(reader: JsonReader): string | undefined {
  const start = reader.pos
  if (
    reader.is('object') &&
    reader.firstField('stringValue') === 'stringValue' &&
    reader.is('text')
  ) {
    const text = reader.text()
    if (reader.nextField() === undefined) return clip(text)
  }
  reader.pos = start
  return undefined
}

import { findText } from './attributes.ts'
import { type AttributionRules, attribute } from './attribution.ts'
import type { RequestMap } from './clients/client.ts'
import { findClient } from './clients/index.ts'
import { resolveInstant } from './instant.ts'
import { type Context, countOf, type Reading, reject } from './reading.ts'
import { isOf, readRequest } from './request.ts'
import type { LogRecord, Span } from './signal.ts'
import { createFindAnswer, type FindAnswer } from './twins.ts'

/** Reads the records that tell of requests; of all others only the number is kept. */
export function readLogs(
  records: readonly LogRecord[],
  context: Context,
  rules: AttributionRules,
  reading: Reading,
): void {
  const findAnswer = createFindAnswer(records)
  const to = { is_identified: false, findAnswer, context, rules, reading }
  for (const record of records) {
    const { trace_id, span_id, observed_ns } = record
    const time_ns = record.time_ns || observed_ns
    const stamp = findText(record, ['event.timestamp']) ?? ''
    const source_id = [stamp, String(time_ns), trace_id, span_id]
    const name = eventName(record)
    readItem({ signal: 'logs', name, item: record, time: record, source_id, ...to })
  }
}

/** Reads the spans that tell of requests. */
export function readSpans(
  spans: readonly Span[],
  context: Context,
  rules: AttributionRules,
  reading: Reading,
): void {
  const to = { context, rules, reading }
  for (const span of spans) {
    const { trace_id, span_id, start_ns, end_ns, name } = span
    const time = { ...span, time_ns: end_ns || start_ns, observed_ns: start_ns }
    const source_id = trace_id && span_id ? ['span', trace_id, span_id] : []
    const is_identified = source_id.length > 0
    readItem({ signal: 'spans', name, item: span, time, source_id, ...to, is_identified })
  }
}

type Read = {
  readonly signal: 'logs' | 'spans'
  readonly name: string
  readonly item: LogRecord | Span
  readonly time: Parameters<typeof resolveInstant>[0]
  readonly source_id: readonly string[]
  readonly is_identified: boolean
  readonly findAnswer?: FindAnswer
  readonly context: Context
  readonly rules: AttributionRules
  readonly reading: Reading
}

function readItem(read: Read): void {
  const { signal, name, item, time, context, rules, reading, findAnswer, ...identity } = read
  const client = findClient(item, name)
  const map = client?.[signal].find((one: RequestMap) => isOf(item, name, one))
  const count = countOf(reading, client)
  if (!client || !map || map.is_twin) {
    count.ignored += 1
    return
  }
  const { at, is_skewed } = resolveInstant(time, context.received_at)
  const attribution = attribute(item, client, context.token, rules)
  const answer_id = findAnswer?.(item, client, map)
  const told = { item, client, map, signal, at, attribution, answer_id }
  const request = readRequest({ ...identity, ...told })
  if ('malformed' in request) {
    reject(reading, count, `${name}: ${request.malformed}`)
    return
  }
  count.accepted += 1
  if (is_skewed) count.skewed += 1
  reading.events.set(request, count)
}

/** The attribute goes first: some clients fill the record's own field with junk. */
function eventName({ attributes, event_name, body }: LogRecord): string {
  const named = attributes['event.name']
  return typeof named === 'string' ? named : event_name || body || ''
}

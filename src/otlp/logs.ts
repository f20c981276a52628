import { findText } from './attributes.ts'
import { type AttributionRules, attribute } from './attribution.ts'
import type { Client, RequestMap } from './clients/client.ts'
import { findClient } from './clients/index.ts'
import { resolveInstant } from './instant.ts'
import type { Context, Reading } from './reading.ts'
import { isOf, readRequest } from './request.ts'
import type { LogRecord } from './signal.ts'

/** Reads the records that tell of requests; of all others only the number is kept. */
export function readLogs(
  records: readonly LogRecord[],
  context: Context,
  rules: AttributionRules,
  reading: Reading,
): void {
  for (const record of records) {
    const event = eventName(record)
    const client = findClient(record.resource, record.scope, event)
    const map = client?.logs.find((one) => isOf(record, event, one))
    const count = countOf(reading, client)
    if (!client || !map) {
      count.ignored += 1
      continue
    }
    const request = readRecord(record, { client, map }, context, rules)
    if ('malformed' in request) {
      count.rejected += 1
      reading.problems.add(`${event}: ${request.malformed}`)
      continue
    }
    count.accepted += 1
    reading.events.push(request)
  }
}

function readRecord(
  record: LogRecord,
  { client, map }: { client: Client; map: RequestMap },
  context: Context,
  rules: AttributionRules,
) {
  const { at } = resolveInstant(record, context.received_at)
  const time = record.time_ns || record.observed_ns
  return readRequest({
    item: record,
    client,
    map,
    signal: 'logs',
    at,
    source_id: [findText(record, ['event.timestamp']) ?? '', String(time)],
    attribution: attribute(record, client.id, context.token, rules),
  })
}

/** The attribute goes first: some clients fill the record's own field with junk. */
function eventName({ attributes, event_name, body }: LogRecord): string {
  const named = attributes['event.name']
  return typeof named === 'string' ? named : event_name || body || ''
}

function countOf(reading: Reading, client: Client | undefined) {
  const name = client?.id ?? ''
  const count = reading.counts.get(name) ?? { accepted: 0, ignored: 0, rejected: 0 }
  reading.counts.set(name, count)
  return count
}

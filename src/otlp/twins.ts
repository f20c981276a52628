import { findText, type Item } from './attributes.ts'
import type { Client, RequestMap } from './clients/client.ts'
import type { LogRecord } from './signal.ts'

/** The id of a request's answer, where a twin in the same batch tells it; each twin is used once. */
export type FindAnswer = (item: Item, client: Client, map: RequestMap) => string | undefined

/** Clients that log a request twice do so in one breath, so that the twins are in one batch. */
export function createFindAnswer(records: readonly LogRecord[]): FindAnswer {
  const known = new Map<RequestMap, Map<string, string[]>>()
  return (item, { logs }, map) => {
    const twin = logs.find(({ is_twin }) => is_twin)
    if (!twin) return undefined
    const ids = known.get(twin) ?? indexTwins(records, twin)
    known.set(twin, ids)
    return ids.get(keyOf(item, map))?.shift()
  }
}

function indexTwins(records: readonly LogRecord[], twin: RequestMap): Map<string, string[]> {
  const ids = new Map<string, string[]>()
  for (const record of records) {
    if (!twin.names?.includes(String(record.attributes['event.name']))) continue
    const id = findText(record, twin.response_id ?? [])
    if (id === undefined) continue
    const key = keyOf(record, twin)
    ids.set(key, [...(ids.get(key) ?? []), id])
  }
  return ids
}

/** What twins have alike, each under the names of its own map. */
function keyOf(item: Item, { usage }: RequestMap): string {
  const names = [['session.id'], ['event.timestamp'], usage.input ?? [], usage.output ?? []]
  return JSON.stringify(names.map((all) => findText(item, all) ?? ''))
}

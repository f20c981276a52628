import { findText, type Item, type Names } from './attributes.ts'
import type { Twin } from './clients/client.ts'
import type { LogRecord } from './signal.ts'

/** Tells the id of a record's answer, where a twin in the same batch has it; each twin is used once. */
export type FindAnswer = (record: Item, twin: Twin) => string | undefined

/**
 * Clients that log a request twice do it in one breath, so that the twins are in one batch. Looked for
 * only when a client has them.
 */
export function createFindAnswer(records: readonly LogRecord[]): FindAnswer {
  const known = new Map<Twin, Map<string, string[]>>()
  return (record, twin) => {
    const ids = known.get(twin) ?? indexTwins(records, twin)
    known.set(twin, ids)
    const names = twin.same.map(([own]) => own)
    return ids.get(keyOf(record, names))?.shift()
  }
}

function indexTwins(records: readonly LogRecord[], twin: Twin): Map<string, string[]> {
  const ids = new Map<string, string[]>()
  const names = twin.same.map(([, theirs]) => theirs)
  for (const record of records) {
    if (record.attributes['event.name'] !== twin.name) continue
    const id = findText(record, twin.response_id)
    if (id === undefined) continue
    const key = keyOf(record, names)
    ids.set(key, [...(ids.get(key) ?? []), id])
  }
  return ids
}

function keyOf(record: Item, names: Names): string {
  return JSON.stringify(names.map((name) => findText(record, [name]) ?? ''))
}

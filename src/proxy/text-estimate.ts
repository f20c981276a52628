import { type Api, isObject } from '../providers/wire.ts'
import { parseJson } from './json-bytes.ts'

/** How many events are looked into to learn how much of one is not text. */
const SAMPLES_MAX = 8
/** Kept of a stream's beginning, where an answer's frame stands, and of its latest events each. */
const KEPT = 12

export type TextEstimate = {
  add(data: Buffer): void
  /** Bytes of the model's text, about. */
  bytes(): number
}

/**
 * Counts the text of many events by parsing a few: the rest of an event is about equally long in all. They
 * are parsed when somebody asks, which only happens when a stream breaks or is watched.
 */
export function createTextEstimate(api: Api): TextEstimate {
  let events = 0
  let event_bytes = 0
  const first: string[] = []
  const latest: string[] = []
  return {
    add(data) {
      if (events < KEPT) first.push(data.toString())
      else latest[events % KEPT] = data.toString()
      events++
      event_bytes += data.length
    },
    bytes() {
      const texts = [...first, ...latest].flatMap((event) => sampleOf(api, event) ?? [])
      const samples = texts.slice(0, SAMPLES_MAX)
      if (samples.length === 0) return 0
      const text_bytes = sum(samples.map((one) => one.text_bytes))
      const rest = (sum(samples.map((one) => one.bytes)) - text_bytes) / samples.length
      return Math.max(text_bytes, Math.round(event_bytes - events * rest))
    },
  }
}

function sampleOf(api: Api, event: string): { bytes: number; text_bytes: number } | null {
  const value = parseJson(event)
  const text_bytes = isObject(value) ? Buffer.byteLength(api.readText(value)) : 0
  return text_bytes === 0 ? null : { bytes: Buffer.byteLength(event), text_bytes }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, one) => total + one, 0)
}

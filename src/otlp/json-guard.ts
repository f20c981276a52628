import { BadPayload } from './decode-batch.ts'

/** Small texts cannot grow much when they are parsed, and need no look before. */
const UNGUARDED_BYTES_MAX = 2 ** 20
const DEPTH_MAX = 200
/** The densest honest payload has an object or list every 17 bytes. */
const BYTES_PER_NODE_MIN = 8

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * A parsed list or object takes twenty times the two bytes of its text: a body of nothing else would
 * take hundreds of megabytes. Counts them before they are made.
 * @throws BadPayload
 */
export function guardJson(body: Buffer): void {
  if (body.length <= UNGUARDED_BYTES_MAX) return
  const nodes_max = body.length / BYTES_PER_NODE_MIN
  let nodes = 0
  let depth = 0
  let is_text = false
  for (let index = 0; index < body.length; index++) {
    const byte = body[index]
    if (byte === QUOTE) is_text = !is_text
    else if (is_text) {
      if (byte === BACKSLASH) index++
    } else if (byte === 0x7b || byte === 0x5b) {
      nodes++
      depth++
      if (depth > DEPTH_MAX) throw new BadPayload('The JSON is nested too deeply.')
      if (nodes > nodes_max) throw new BadPayload('The JSON has too many lists and objects.')
    } else if (byte === 0x7d || byte === 0x5d) depth--
  }
}

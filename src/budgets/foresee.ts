import type { Nanos } from '../money.ts'
import { NO_USAGE, type Usage } from '../usage.ts'

/** Bytes of a prompt for each of its tokens, and what the proxy adds for a few messages around it. */
const BYTES_PER_TOKEN = 4
const SCAFFOLD_TOKENS = 1_024

/**
 * About what the proxy holds for a request until its cost is known: of the prompt it knows the bytes, and
 * takes each for a token that is not cached.
 */
export function heldUsage(usage: Usage): Usage {
  const prompt =
    usage.uncached_input_tokens +
    usage.cache_read_tokens +
    usage.cache_write_5m_tokens +
    usage.cache_write_1h_tokens
  return {
    ...NO_USAGE,
    requests: 1,
    uncached_input_tokens: prompt * BYTES_PER_TOKEN + SCAFFOLD_TOKENS,
    output_tokens: usage.output_tokens,
  }
}

/** How many such requests fit one after the other: the last one must still be held whole. */
export function countFitting(rest: Nanos, cost: Nanos | null, held: Nanos | null): number | null {
  if (cost === null || cost === 0n || held === null) return null
  return held > rest ? 0 : Number((rest - held) / cost) + 1
}

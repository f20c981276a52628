import { NO_USAGE, type Usage } from '../usage.ts'
import { findCount, type Item } from './attributes.ts'
import type { UsageNames } from './clients/client.ts'

/** Why an item that should tell of a request does not. */
export type Malformed = { readonly malformed: string }

/** One request's counts in disjoint classes. */
export function readUsage(item: Item, names: UsageNames): Usage | Malformed {
  const counts = {
    input: findCount(item, names.input),
    uncached_input: findCount(item, names.uncached_input),
    other_input: findCount(item, names.other_input),
    cache_read: findCount(item, names.cache_read),
    cache_write: findCount(item, names.cache_write),
    output: findCount(item, names.output),
    reasoning: findCount(item, names.reasoning),
    input_audio: findCount(item, names.input_audio),
    output_audio: findCount(item, names.output_audio),
  }
  const bad = Object.entries(counts).find(([, count]) => Number.isNaN(count))
  if (bad) return { malformed: `${bad[0]} is no count of tokens` }
  if (
    counts.input === undefined &&
    counts.uncached_input === undefined &&
    counts.output === undefined
  )
    return { malformed: 'no counts of tokens' }
  const { cache_read = 0, cache_write = 0, output = 0, reasoning = 0 } = counts
  const { input_audio = 0, output_audio = 0 } = counts
  const said = names.output_includes_reasoning ? output : output + reasoning
  return {
    ...NO_USAGE,
    requests: 1,
    uncached_input_tokens: Math.max(
      0,
      uncachedInput(counts, names) + (counts.other_input ?? 0) - input_audio,
    ),
    cache_read_tokens: cache_read,
    cache_write_5m_tokens: cache_write,
    input_audio_tokens: input_audio,
    output_tokens: Math.max(0, said - output_audio),
    output_audio_tokens: output_audio,
    reasoning_tokens: Math.min(reasoning, said),
  }
}

type InputCounts = {
  readonly input?: number | undefined
  readonly uncached_input?: number | undefined
  readonly cache_read?: number | undefined
  readonly cache_write?: number | undefined
}

/**
 * Conventions have the cache inside the input, yet instrumentations of Anthropic's own API pass its
 * counts on as they are. More cache than input can only be the latter.
 */
function uncachedInput(counts: InputCounts, { input_includes_cache }: UsageNames): number {
  const { input = 0, uncached_input, cache_read = 0, cache_write = 0 } = counts
  if (uncached_input !== undefined) return uncached_input
  const cached = cache_read + cache_write
  return input_includes_cache && cached <= input ? input - cached : input
}

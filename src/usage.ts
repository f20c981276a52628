/**
 * Usage in disjoint classes: every token is in exactly one of the TOKEN_CLASSES, whatever the
 * provider's own counting. `reasoning_tokens` is a part of `output_tokens`, kept for display only.
 */
export const TOKEN_CLASSES = [
  'uncached_input_tokens',
  'cache_read_tokens',
  'cache_write_5m_tokens',
  'cache_write_1h_tokens',
  'input_audio_tokens',
  'input_image_tokens',
  'output_tokens',
  'output_audio_tokens',
  'output_image_tokens',
] as const

export type TokenClass = (typeof TOKEN_CLASSES)[number]

/** Things that are billed by count and are not tokens. Seconds are of audio; bytes are stored ones. */
export type Unit =
  | 'web_search'
  | 'file_search'
  | 'image'
  | 'character'
  | 'second'
  | 'byte'
  | 'session'

/** Token counts are integers ≥ 0. `requests` is null where the source does not count them. */
export type Usage = Record<TokenClass, number> & {
  readonly reasoning_tokens: number
  readonly requests: number | null
  readonly unit: Unit | null
  readonly units: number
}

/** Counts as a client tells them; absent is none. */
export type ToldCounts = {
  readonly input?: number | undefined
  /** Input without cached and cache-writing tokens, where the client tells it as well. */
  readonly uncached_input?: number | undefined
  /** Input that the client counts apart. */
  readonly other_input?: number | undefined
  readonly cache_read?: number | undefined
  readonly cache_write?: number | undefined
  readonly output?: number | undefined
  readonly reasoning?: number | undefined
  readonly input_audio?: number | undefined
  readonly output_audio?: number | undefined
}

export const NO_USAGE: Usage = Object.freeze({
  uncached_input_tokens: 0,
  cache_read_tokens: 0,
  cache_write_5m_tokens: 0,
  cache_write_1h_tokens: 0,
  input_audio_tokens: 0,
  input_image_tokens: 0,
  output_tokens: 0,
  output_audio_tokens: 0,
  output_image_tokens: 0,
  reasoning_tokens: 0,
  requests: null,
  unit: null,
  units: 0,
})

/**
 * A client's own counts in disjoint classes, as usage of one request. More cache than input can only be
 * counted beside it, whatever the convention: instrumentations of Anthropic's API pass its counts on.
 */
export function countedUsage(
  told: ToldCounts,
  how: { input_includes_cache: boolean; output_includes_reasoning: boolean },
): Usage {
  const { input = 0, other_input = 0, cache_read = 0, cache_write = 0 } = told
  const { output = 0, reasoning = 0, input_audio = 0, output_audio = 0 } = told
  const cached = cache_read + cache_write
  const uncached = how.input_includes_cache && cached <= input ? input - cached : input
  const said = how.output_includes_reasoning ? output : output + reasoning
  return {
    ...NO_USAGE,
    requests: 1,
    uncached_input_tokens: Math.max(
      0,
      (told.uncached_input ?? uncached) + other_input - input_audio,
    ),
    cache_read_tokens: cache_read,
    cache_write_5m_tokens: cache_write,
    input_audio_tokens: input_audio,
    output_tokens: Math.max(0, said - output_audio),
    output_audio_tokens: output_audio,
    reasoning_tokens: Math.min(reasoning, said),
  }
}

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

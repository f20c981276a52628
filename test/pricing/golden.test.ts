import { expect, test } from 'vitest'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { type PriceQuery, priceUsage } from '../../src/pricing/price.ts'
import { NO_USAGE, type Usage } from '../../src/usage.ts'

/**
 * Worked out by hand from the published price lists, in nano-dollars: a dollar per million tokens is
 * 1,000 nano-dollars per token. Where a text stands, the usage has no price and the reason says so.
 */
type Row = readonly [
  provider: string,
  model: string,
  at: string,
  usage: Short,
  options: Options,
  expected: bigint | RegExp,
]
type Short = {
  readonly in?: number
  readonly read?: number
  readonly w5?: number
  readonly w1?: number
  readonly audio?: number
  readonly image?: number
  readonly out?: number
  readonly audio_out?: number
  readonly image_out?: number
  readonly reasoning?: number
  readonly unit?: NonNullable<Usage['unit']>
  readonly units?: number
}
type Options = Partial<Omit<PriceQuery, 'provider' | 'model' | 'at' | 'usage'>>

const SUM: Options = { is_single_request: false }
const tier = (service_tier: string): Options => ({ service_tier })
const FAST: Options = { speed: 'fast' }
const geo = (inference_geo: string): Options => ({ inference_geo })

// biome-ignore format: a table reads by its columns
const ANTHROPIC: readonly Row[] = [
  // 1000×5,000 + 500×25,000
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1000, out: 500 }, {}, 17_500_000n],
  // 1000×4,000 + 10,000×200 + 2000×5,000 + 1000×8,000 + 100×20,000
  ['anthropic', 'claude-opus-5-5', '2026-11-01', { in: 1000, read: 10_000, w5: 2000, w1: 1000, out: 100 }, {}, 26_000_000n],
  // 900×2,000 + 6000×200 + 300×2,500 + 350×10,000
  ['anthropic', 'claude-sonnet-5', '2026-11-01', { in: 900, read: 6000, w5: 300, out: 350 }, {}, 7_250_000n],
  // 3×1,000 + 7×5,000
  ['anthropic', 'claude-haiku-4-5-20251001', '2026-01-01', { in: 3, out: 7 }, {}, 38_000n],
  // 1000×2,000: one-hour writes cost twice the input
  ['anthropic', 'claude-haiku-4-5', '2026-01-01', { w1: 1000 }, {}, 2_000_000n],
  // 123×6,000
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { w1: 123 }, {}, 738_000n],
  // 1000×250 and 1000×1,000: Fable 5.1 reads its cache at a fortieth of the input price
  ['anthropic', 'claude-fable-5-1', '2026-11-01', { read: 1000 }, {}, 250_000n],
  ['anthropic', 'claude-fable-5', '2026-11-01', { read: 1000 }, {}, 1_000_000n],
  // 250 + 1,250
  ['anthropic', 'claude-3-haiku-20240307', '2025-01-01', { in: 1, out: 1 }, {}, 1_500n],
  // 10×(800 + 80 + 1,000 + 1,600 + 4,000)
  ['anthropic', 'claude-3-5-haiku-20241022', '2025-01-01', { in: 10, read: 10, w5: 10, w1: 10, out: 10 }, {}, 74_800n],
  // 100×15,000 + 100×75,000
  ['anthropic', 'claude-opus-4-1-20250805', '2026-01-01', { in: 100, out: 100 }, {}, 9_000_000n],
  // 200,000×3,000 + 1000×15,000: at the boundary the base price holds
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 200_000, out: 1000 }, {}, 615_000_000n],
  // 200,001×6,000 + 1000×22,500: one token more and every token costs more
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 200_001, out: 1000 }, {}, 1_222_506_000n],
  // 1×6,000 + 200,000×600: cache reads are a part of the prompt
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 1, read: 200_000 }, {}, 120_006_000n],
  // 1×6,000 + 100,000×7,500 + 100,000×12,000: and cache writes
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 1, w5: 100_000, w1: 100_000 }, {}, 1_950_006_000n],
  // 100,000×3,000 + 200,000×15,000: output is not
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 100_000, out: 200_000 }, {}, 3_300_000_000n],
  // 1,000,000×3,000, ×3,000 and ×6,000: sums over requests go by the provider's word
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 1_000_000 }, SUM, 3_000_000_000n],
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 1_000_000 }, { ...SUM, context_window: '0-200k' }, 3_000_000_000n],
  ['anthropic', 'claude-sonnet-4-5', '2026-01-01', { in: 1_000_000 }, { ...SUM, context_window: '200k-1M' }, 6_000_000_000n],
  // 200,001×10,000, and ×5,000 since 2026-03-13T00:00Z
  ['anthropic', 'claude-opus-4-6', '2026-03-12T23:59:59.999Z', { in: 200_001 }, {}, 2_000_010_000n],
  ['anthropic', 'claude-opus-4-6', '2026-03-13T00:00:00.000Z', { in: 200_001 }, {}, 1_000_005_000n],
  // 200,001×10,000÷2
  ['anthropic', 'claude-opus-4-6', '2026-03-12', { in: 200_001 }, tier('batch'), 1_000_005_000n],
  // 1001×2,500 + 1×12,500
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1001, out: 1 }, tier('batch'), 2_515_000n],
  // 1×50; 1×15
  ['anthropic', 'claude-haiku-4-5', '2026-11-01', { read: 1 }, tier('batch'), 50n],
  ['anthropic', 'claude-3-haiku', '2025-01-01', { read: 1 }, tier('batch'), 15n],
  // 1000×10,000 + 1000×50,000
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1000, out: 1000 }, FAST, 60_000_000n],
  // 1000×400: cache multipliers apply on top of fast mode
  ['anthropic', 'claude-opus-5-5', '2026-11-01', { read: 1000 }, FAST, 400_000n],
  // 200,001×60,000, and ×30,000 since long prompts cost no more
  ['anthropic', 'claude-opus-4-6', '2026-02-20', { in: 200_001 }, FAST, 12_000_060_000n],
  ['anthropic', 'claude-opus-4-6', '2026-04-01', { in: 200_001 }, FAST, 6_000_030_000n],
  // 10×30,000, until it was removed on 2026-07-24
  ['anthropic', 'claude-opus-4-7', '2026-07-24T23:59:59.999Z', { in: 10 }, FAST, 300_000n],
  ['anthropic', 'claude-opus-4-7', '2026-07-25', { in: 10 }, FAST, /no fast price .* at that time/],
  ['anthropic', 'claude-sonnet-5', '2026-11-01', { in: 10 }, FAST, /no fast price/],
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 10 }, { ...FAST, ...tier('batch') }, /no fast batch price/],
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 10 }, tier('priority'), /no priority price/],
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 10 }, tier('flex_discount'), /no flex_discount price/],
  // 1000×5,500 + 1000×27,500
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1000, out: 1000 }, geo('us'), 33_000_000n],
  // 1001×2,750: half of 1.1 times
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1001 }, { ...geo('us'), ...tier('batch') }, 2_752_750n],
  // 1×11,000: twice 1.1 times
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1 }, { ...geo('us'), ...FAST }, 11_000n],
  // 1000×1,000: models before Opus 4.6 cost the same anywhere
  ['anthropic', 'claude-haiku-4-5', '2026-11-01', { in: 1000 }, geo('us'), 1_000_000n],
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1000 }, geo('global'), 5_000_000n],
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1000 }, geo('not_available'), 5_000_000n],
  ['anthropic', 'claude-opus-5', '2026-11-01', { in: 1000 }, geo('eu'), /inference in "eu"/],
  // 1000×2,200 + 3×10,000,000: searches cost the same anywhere
  ['anthropic', 'claude-sonnet-5', '2026-11-01', { in: 1000, unit: 'web_search', units: 3 }, geo('us'), 32_200_000n],
  // 7×10,000,000
  ['anthropic', 'claude-opus-5', '2026-11-01', { unit: 'web_search', units: 7 }, {}, 70_000_000n],
  ['anthropic', 'claude-opus-5', '2026-11-01', { unit: 'session', units: 7 }, {}, /no price for a session/],
  ['anthropic', 'claude-opus-5', '2026-11-01', {}, {}, 0n],
  ['anthropic', 'claude-sonnet-4-5-turbo', '2026-11-01', { in: 1 }, {}, /no price is known/],
  ['anthropic', 'claude-sonnet-4-5-turbo', '2026-11-01', {}, {}, /no price is known/],
  ['anthropic', '', '2026-11-01', { in: 1 }, {}, /\(no model\)/],
]

// biome-ignore format: a table reads by its columns
const OPENAI: readonly Row[] = [
  // 271,999×2,500; the standard price holds for fewer than 272,000
  ['openai', 'gpt-5.4', '2026-11-01', { in: 271_999 }, {}, 679_997_500n],
  // 272,000×5,000; 272,001×5,000
  ['openai', 'gpt-5.4-2026-03-05', '2026-11-01', { in: 272_000 }, {}, 1_360_000_000n],
  ['openai', 'gpt-5.4', '2026-11-01', { in: 272_001 }, {}, 1_360_005_000n],
  // 271,999×2,000; 272,000×2,000: here it holds up to and with 272,000
  ['openai', 'gpt-6-sol', '2026-11-01', { in: 271_999 }, {}, 543_998_000n],
  ['openai', 'gpt-6-sol', '2026-11-01', { in: 272_000 }, {}, 544_000_000n],
  // 272,001×4,000 + 100×15,000
  ['openai', 'gpt-6-sol', '2026-11-01', { in: 272_001, out: 100 }, {}, 1_089_504_000n],
  // 1000×1,250 + 2000×125 + 300×10,000: reasoning is inside the output
  ['openai', 'gpt-5-2025-08-07', '2026-01-01', { in: 1000, read: 2000, out: 300, reasoning: 200 }, {}, 4_500_000n],
  // 1000×12,500 + 10×75,000
  ['openai', 'gpt-5.5', '2026-11-01', { in: 1000, out: 10 }, tier('priority'), 13_250_000n],
  // 271,999×12,500; longer prompts have no published price
  ['openai', 'gpt-5.5', '2026-11-01', { in: 271_999 }, tier('priority'), 3_399_987_500n],
  ['openai', 'gpt-5.5', '2026-11-01', { in: 272_000 }, tier('priority'), /above 271999 prompt tokens/],
  // 1000×2,500 + 100×250 + 10×20,000: "fast" is "priority"
  ['openai', 'gpt-5', '2026-11-01', { in: 1000, read: 100, out: 10 }, tier('fast'), 2_725_000n],
  ['openai', 'gpt-5', '2026-11-01', { in: 1000, read: 100, out: 10 }, FAST, 2_725_000n],
  // 1000×450 + 100×3,600; not twice
  ['openai', 'gpt-5-mini', '2026-11-01', { in: 1000, out: 100 }, tier('priority'), 810_000n],
  // 1000×(4,250 + 2,125 + 17,000)
  ['openai', 'gpt-4o', '2026-11-01', { in: 1000, read: 1000, out: 1000 }, tier('priority'), 23_375_000n],
  // 1000×4,000 + 10×20,000
  ['openai', 'gpt-6-sol', '2026-11-01', { in: 1000, out: 10 }, tier('fast'), 4_200_000n],
  // 1000×1,250; cached input has no batch price there
  ['openai', 'gpt-4o', '2026-01-01', { in: 1000 }, tier('batch'), 1_250_000n],
  ['openai', 'gpt-4o', '2026-01-01', { in: 1000, read: 1 }, tier('batch'), /no price for cache_read_tokens/],
  // 1000×625 + 1000×62.5 + 10×5,000
  ['openai', 'gpt-5', '2026-01-01', { in: 1000, read: 1000, out: 10 }, tier('batch'), 737_500n],
  // 1000×1,000: the one model without a batch discount
  ['openai', 'gpt-3.5-turbo-1106', '2025-01-01', { in: 1000 }, tier('batch'), 1_000_000n],
  // 2.5 → 2, 7.5 → 8, 12.5 → 12, 17.5 → 18: ties go to the even neighbour
  ['openai', 'gpt-5-nano', '2026-01-01', { read: 1 }, tier('flex'), 2n],
  ['openai', 'gpt-5-nano', '2026-01-01', { read: 3 }, tier('flex'), 8n],
  ['openai', 'gpt-5-nano', '2026-01-01', { read: 5 }, tier('flex'), 12n],
  ['openai', 'gpt-5-nano', '2026-01-01', { read: 7 }, tier('flex'), 18n],
  // 37.5 → 38; 112.5 → 112
  ['openai', 'gpt-5.4-mini', '2026-11-01', { read: 1 }, tier('batch'), 38n],
  ['openai', 'gpt-5.4-mini', '2026-11-01', { read: 3 }, tier('batch'), 112n],
  // 1×25 + 1×2.5 + 1×200 = 227.5 → 228: rounded once, not by class
  ['openai', 'gpt-5-nano', '2026-01-01', { in: 1, read: 1, out: 1 }, tier('flex'), 228n],
  // 1000×10,000 + 1000×40,000, and 1000×2,000 + 1000×8,000 since 2025-06-10
  ['openai', 'o3', '2025-06-09T23:59:59.999Z', { in: 1000, out: 1000 }, {}, 50_000_000n],
  ['openai', 'o3', '2025-06-10T00:00:00.000Z', { in: 1000, out: 1000 }, {}, 10_000_000n],
  // 1000×5,000 + 1000×6,250, and 1000×4,000 + 1000×5,000 since 2026-08-21
  ['openai', 'gpt-5.6-sol', '2026-08-20T23:59:59.999Z', { in: 1000, w5: 1000 }, {}, 11_250_000n],
  ['openai', 'gpt-5.6', '2026-08-21', { in: 1000, w5: 1000 }, {}, 9_000_000n],
  // 1000×400 since 2026-07-30
  ['openai', 'gpt-5.6-luna', '2026-07-30', { in: 1000 }, tier('priority'), 400_000n],
  ['openai', 'gpt-5.6-luna', '2026-07-29', { in: 1000 }, tier('priority'), /no priority price/],
  ['openai', 'gpt-6-luna', '2026-11-01', { in: 1000 }, tier('flex'), /no flex price/],
  ['openai', 'gpt-5', '2026-11-01', { in: 1000 }, tier('scale'), /no scale price/],
  // 1000×1,250 with the words for "no tier"
  ['openai', 'gpt-5', '2026-11-01', { in: 1000 }, tier('default'), 1_250_000n],
  ['openai', 'gpt-5', '2026-11-01', { in: 1000 }, tier('auto'), 1_250_000n],
  // 100×4,000 + 1000×32,000 + 50×400 + 10×16,000 + 200×64,000
  ['openai', 'gpt-realtime', '2026-01-01', { in: 100, audio: 1000, read: 50, out: 10, audio_out: 200 }, {}, 45_380_000n],
  ['openai', 'gpt-4o-audio-preview', '2026-01-01', { audio: 1 }, {}, /no price for input_audio_tokens/],
  // 20×5,000 + 100×10,000 + 1000×40,000
  ['openai', 'gpt-image-1', '2026-01-01', { in: 20, image: 100, image_out: 1000 }, {}, 41_100_000n],
  // 100×1,250: pictures in a prompt cost what text costs
  ['openai', 'gpt-5', '2026-01-01', { image: 100 }, {}, 125_000n],
  // 1001×20
  ['openai', 'text-embedding-3-small', '2026-01-01', { in: 1001 }, {}, 20_020n],
  // 60 × 0.36 USD ÷ 3600
  ['openai', 'whisper-1', '2026-01-01', { unit: 'second', units: 60 }, {}, 6_000_000n],
  // 1 and 3 × 0.111 USD ÷ 3600: 30,833.33… and 92,500
  ['groq', 'whisper-large-v3', '2026-01-01', { unit: 'second', units: 1 }, {}, 30_833n],
  ['groq', 'whisper-large-v3', '2026-01-01', { unit: 'second', units: 3 }, {}, 92_500n],
  // 3×2,500,000: the tool's price needs no model
  ['openai', '', '2026-01-01', { unit: 'file_search', units: 3 }, {}, 7_500_000n],
  ['openai', '', '2026-01-01', { unit: 'session', units: 3 }, {}, /openai has no price for a session/],
  ['openai', '', '2026-01-01', { in: 3 }, {}, /no price for uncached_input_tokens/],
  ['openai', 'omni-moderation-latest', '2026-01-01', { in: 1000 }, {}, 0n],
  ['openai', 'gpt-5.4-ultra', '2026-11-01', { in: 1 }, {}, /no price is known/],
]

// biome-ignore format: a table reads by its columns
const OTHERS: readonly Row[] = [
  // 200,000×1,250; 200,001×2,500
  ['google', 'gemini-2.5-pro', '2026-01-01', { in: 200_000 }, {}, 250_000_000n],
  ['gcp.gemini', 'models/gemini-2.5-pro', '2026-01-01', { in: 200_001 }, {}, 500_002_500n],
  // 1000×1,000 + 1000×300: audio has its own price, pictures do not
  ['google', 'gemini-2.5-flash', '2026-01-01', { audio: 1000, image: 1000 }, {}, 1_300_000n],
  // 1000×150 + 1000×30 + 1000×1,250: cache reads are not halved in batches
  ['google', 'gemini-2.5-flash', '2026-01-01', { in: 1000, read: 1000, out: 1000 }, tier('batch'), 1_430_000n],
  // 1000×(2,250 + 225 + 18,000)
  ['google', 'gemini-2.5-pro', '2026-11-01', { in: 1000, read: 1000, out: 1000 }, tier('priority'), 20_475_000n],
  // 1000×750 + 1000×3,750, and 1000×1,500 + 1000×7,500 in 2027
  ['google', 'gemini-3.8-flash', '2026-12-31T23:59:59.999Z', { in: 1000, out: 1000 }, {}, 4_500_000n],
  ['google', 'gemini-3.8-flash', '2027-01-01T00:00:00.000Z', { in: 1000, out: 1000 }, {}, 9_000_000n],
  // 1000×375 + 1000×37.5
  ['google', 'gemini-3.8-flash', '2026-11-01', { in: 1000, read: 1000 }, tier('flex'), 412_500n],
  ['google', 'gemini-3.8-flash', '2026-11-01', { in: 1000, read: 1000 }, tier('batch'), /no price for cache_read_tokens/],
  ['google', 'gemini-3.6-flash', '2026-11-01', { in: 1 }, tier('priority'), /no priority price/],
  ['google', 'gemini-2.5-pro-foo', '2026-11-01', { in: 1 }, {}, /no price is known/],
  ['google', 'gemma-3', '2026-11-01', { in: 1000, out: 1000 }, {}, 0n],
  ['google', 'gemini-omni-flash-preview', '2026-11-01', { in: 1 }, {}, /video tokens/],
  // 1000×5,000
  ['vertex_ai', 'claude-opus-4-7', '2026-11-01', { in: 1000 }, {}, 5_000_000n],
  // 1000×135 and 1000×270: the day's price from 00:30 to 16:30 UTC
  ['deepseek', 'deepseek-chat', '2025-03-03T00:29:59.999Z', { in: 1000 }, {}, 135_000n],
  ['deepseek', 'deepseek-chat', '2025-03-03T00:30:00.000Z', { in: 1000 }, {}, 270_000n],
  ['deepseek', 'deepseek-chat', '2025-03-03T16:29:59.999Z', { in: 1000 }, {}, 270_000n],
  ['deepseek', 'deepseek-chat', '2025-03-03T16:30:00.000Z', { in: 1000 }, {}, 135_000n],
  ['deepseek', 'deepseek-chat', '2025-03-03', { in: 1000 }, SUM, /depends on the hour/],
  ['deepseek', 'deepseek-chat', '2025-09-05T16:00:00Z', { in: 1000 }, {}, /off-peak prices ended/],
  // 4×3.625 = 14.5 → 14
  ['deepseek', 'deepseek-v4-pro', '2026-08-16T15:59:59.999Z', { read: 4 }, {}, 14n],
  ['deepseek', 'deepseek-v4-pro', '2026-08-16T16:00:00Z', { read: 4 }, {}, /public holidays/],
  // 199,999×2,000; 200,000×4,000
  ['x_ai', 'grok-4.6', '2026-11-01', { in: 199_999 }, {}, 399_998_000n],
  ['x_ai', 'grok-4.6', '2026-11-01', { in: 200_000 }, {}, 800_000_000n],
  // 600×3,000 + 400×8,000; 1000×3,000: reasoning at its own price
  ['openrouter', 'perplexity/sonar-deep-research', '2026-11-01', { out: 1000, reasoning: 600 }, {}, 5_000_000n],
  ['openrouter', 'perplexity/sonar-deep-research', '2026-11-01', { out: 1000, reasoning: 1000 }, {}, 3_000_000n],
  ['perplexity', 'sonar', '2026-11-01', { in: 1 }, {}, /each request costs a fee/],
  // 1000×3,300 + 1000×16,500; 1000×3,000 + 1000×15,000
  ['aws.bedrock', 'us.anthropic.claude-sonnet-4-5-20250929-v1:0', '2026-11-01', { in: 1000, out: 1000 }, {}, 19_800_000n],
  ['aws', 'global.anthropic.claude-sonnet-4-5-20250929-v1:0', '2026-11-01', { in: 1000, out: 1000 }, {}, 18_000_000n],
  ['aws', 'global.anthropic.claude-sonnet-4-5-20250929-v1:0', '2026-11-01', { w1: 1 }, {}, /cache_write_1h_tokens/],
  // 1000×15,000
  ['azure', 'o1', '2026-01-01', { in: 1000 }, {}, 15_000_000n],
  ['mistral', 'mistral-ocr-latest', '2026-11-01', { in: 1 }, {}, /billed by pages/],
  ['nobody', 'gpt-5', '2026-11-01', { in: 1 }, {}, /no price is known for nobody gpt-5/],
]

const catalog = loadCatalog()

for (const [provider, model, at, usage, options, expected] of [...ANTHROPIC, ...OPENAI, ...OTHERS])
  test(`${provider} ${model} ${at} ${JSON.stringify({ ...usage, ...options })}`, () => {
    const priced = priceUsage(catalog, {
      provider,
      model,
      at: Date.parse(at),
      service_tier: null,
      speed: null,
      is_single_request: true,
      ...options,
      usage: usageOf(usage),
    })
    if (typeof expected === 'bigint') expect(priced.cost_nanos).toBe(expected)
    else
      expect(priced).toMatchObject({
        cost_nanos: null,
        rule_id: null,
        reason: expect.stringMatching(expected),
      })
  })

function usageOf(short: Short): Usage {
  return {
    ...NO_USAGE,
    uncached_input_tokens: short.in ?? 0,
    cache_read_tokens: short.read ?? 0,
    cache_write_5m_tokens: short.w5 ?? 0,
    cache_write_1h_tokens: short.w1 ?? 0,
    input_audio_tokens: short.audio ?? 0,
    input_image_tokens: short.image ?? 0,
    output_tokens: short.out ?? 0,
    output_audio_tokens: short.audio_out ?? 0,
    output_image_tokens: short.image_out ?? 0,
    reasoning_tokens: short.reasoning ?? 0,
    unit: short.unit ?? null,
    units: short.units ?? 0,
  }
}

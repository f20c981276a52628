/**
 * How a service tier or mode changes a model's list price. Each combination is a rule of its own: where
 * none is published, the usage is unpriced and never falls back to the standard price.
 */
export type TierRule = {
  readonly provider: string
  readonly service_tier: string
  /** The models that the publication names. */
  readonly models: RegExp
  /** Multiplies every token price. */
  readonly factor: readonly [numerator: bigint, denominator: bigint]
  readonly source: string
}

export const tierRules: readonly TierRule[] = [
  {
    provider: 'anthropic',
    service_tier: 'batch',
    models: /^claude-/,
    factor: [1n, 2n],
    source: 'https://platform.claude.com/docs/en/about-claude/pricing#batch-processing',
  },
  {
    provider: 'openai',
    service_tier: 'batch',
    models: /^(gpt-|o\d|text-embedding-)/,
    factor: [1n, 2n],
    source: 'https://developers.openai.com/api/docs/guides/batch',
  },
  {
    provider: 'openai',
    service_tier: 'flex',
    models: /^(gpt-5|gpt-6|o3|o4-mini)/,
    factor: [1n, 2n],
    source: 'https://developers.openai.com/api/docs/guides/flex-processing',
  },
  {
    provider: 'google',
    service_tier: 'batch',
    models: /^gemini-/,
    factor: [1n, 2n],
    source: 'https://ai.google.dev/gemini-api/docs/batch-api',
  },
]

/** Inference kept in the United States costs 1.1 times: https://platform.claude.com/docs/en/build-with-claude/data-residency */
export const GEO_FACTORS: Readonly<Record<string, readonly [bigint, bigint]>> = {
  'anthropic us': [11n, 10n],
}

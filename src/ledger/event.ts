import type { Nanos } from '../money.ts'
import type { Usage } from '../usage.ts'

/** How a usage event was learned. Provider admin APIs give buckets, not events. */
export type EventSource = 'otlp' | 'local_log' | 'proxy'

/** One normalised observation of one model request. Content is never part of it. */
export type UsageEvent = {
  /** From the source's own identity: the same observation always has the same id. */
  readonly id: string
  readonly source: EventSource
  /** Which OTLP signal told it; null for proxy and local logs. Decides precedence when two sources saw one request. */
  readonly signal: 'logs' | 'spans' | 'metrics' | null
  /** The program that made the request: `claude-code`, `codex`, `gemini-cli`, …; null when unknown. */
  readonly client: string | null
  /** Whose model is billed: `anthropic`, `openai`, `google`, …. */
  readonly provider: string
  /** As the source spelled it. */
  readonly model: string
  readonly occurred_at: number
  readonly session_id: string | null
  /** The provider's own request id, where the source knows it. */
  readonly request_id: string | null
  /** The id of the provider's answer, where it is another one than the request's. */
  readonly response_id?: string | null
  /** Says who sent it, to match what names no session: the same of all that one program sends. */
  readonly origin?: string | null
  /** Counts only where the client's better source is silent. */
  readonly is_fallback?: boolean
  readonly user: string | null
  /** The last segment of the project's folder, or a hash of its path; never the path. */
  readonly project: string | null
  /** `subscription`: seats pay for it, so that its list value is a figure of its own and in no total. */
  readonly billing_mode: 'api' | 'subscription'
  /** The provider's service tier: `standard`, `batch`, `flex`, `priority`; null when unknown. */
  readonly service_tier: string | null
  readonly speed: 'fast' | null
  /** Where inference was made to run, in the provider's word, where that changes the price. */
  readonly inference_geo?: string | null
  readonly usage: Usage
  /** What the source itself says it cost; kept beside our own price, never added to it. */
  readonly reported_cost_nanos: Nanos | null
  readonly tags: Readonly<Record<string, string>>
  /** The entry of the same request that this one says more than, and takes the place of. */
  readonly replaces?: string | null
  /** The wrapped key that the request came with, and the workspace that the key belongs to. */
  readonly wrapped_key?: string | null
  readonly workspace?: string | null
  /** How sure the counts are; null where the source does not say. */
  readonly quality?: UsageQuality | null
}

/**
 * `exact`: the provider's own counts. `estimated`: worked out from what was seen of a broken answer.
 * `missing`: the request happened and nothing is known, so that it has no cost either.
 */
export type UsageQuality = 'exact' | 'estimated' | 'missing'

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
  readonly user: string | null
  /** The last segment of the project's folder, or a hash of its path; never the path. */
  readonly project: string | null
  /** `subscription`: seats pay for it, so that its list value is a figure of its own and in no total. */
  readonly billing_mode: 'api' | 'subscription'
  /** The provider's service tier: `standard`, `batch`, `flex`, `priority`; null when unknown. */
  readonly service_tier: string | null
  readonly speed: 'fast' | null
  readonly usage: Usage
  /** What the source itself says it cost; kept beside our own price, never added to it. */
  readonly reported_cost_nanos: Nanos | null
  readonly tags: Readonly<Record<string, string>>
  /** Why the usage is not known: the entry then has no cost, whatever `usage` says. */
  readonly unknown_usage?: string
  /** The id of the wrapped key that the request came with; only the proxy knows it. */
  readonly wrapped_key?: string | null
  /** Whose work it was, by the wrapped key's word. */
  readonly workspace?: string | null
}

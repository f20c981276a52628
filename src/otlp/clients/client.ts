import type { Formula, Measure } from '../../ledger/metric.ts'
import type { Names } from '../attributes.ts'

/** Where a client puts its counts, and how it counts. */
export type UsageNames = {
  readonly input?: Names
  /** Whether `input` has the cached and cache-writing tokens in it. */
  readonly input_includes_cache: boolean
  /** Input without them, for clients that tell it as well. */
  readonly uncached_input?: Names
  /** Input that the client counts apart, such as what its tools add. */
  readonly other_input?: Names
  readonly cache_read?: Names
  readonly cache_write?: Names
  readonly output?: Names
  readonly output_includes_reasoning: boolean
  readonly reasoning?: Names
  /** Parts of input and output. */
  readonly input_audio?: Names
  readonly output_audio?: Names
}

/** How one kind of log record or span tells of one request. */
export type RequestMap = {
  /** Event or span names; absent: whatever the name. */
  readonly names?: Names
  /** Attributes that must have one of the values. */
  readonly where?: Readonly<Record<string, readonly string[]>>
  /** Any of them must be there, else the item tells of something else. */
  readonly needs?: Names
  readonly model: Names
  readonly usage: UsageNames
  readonly cost_micros?: Names
  readonly cost_usd?: Names
  readonly request_id?: Names
  readonly response_id?: Names
  /**
   * Ways to tell two requests apart, best first: the first counts whose attributes are all there. The
   * last one counts in any case, together with time and tokens.
   */
  readonly identity: readonly [Names, ...Names[]]
  /** Counts only in sessions that the client's better source does not tell of. */
  readonly is_fallback?: true
  /** Tells once more of a request that another record tells of, for the id of its answer alone. */
  readonly is_twin?: true
  /** Sums up an unknown number of requests. */
  readonly is_sum?: true
}

/** How a metric tells of usage: its points' values, of a histogram the sum. */
export type MetricMap = {
  readonly names: Names
  /** What all of its points measure, or what each does by an attribute. */
  readonly measure:
    | Measure
    | { readonly by: string; readonly of: Readonly<Record<string, Measure>> }
  readonly model: Names
  /** In dollars, to be kept as nano-dollars. */
  readonly is_usd?: true
  /** Names the way of telling where a client tells the same amounts in several. */
  readonly telling?: string
}

/** A program that reports usage. One kind of item is its authority; nothing else of it is added. */
export type Client = {
  /** Null: called by its `service.name`. */
  readonly id: string | null
  /** Any of these tells that telemetry is the client's. */
  readonly service?: RegExp
  readonly scope?: RegExp
  /** The name of an event, span or metric. */
  readonly event?: RegExp
  /** Span attributes of which each tells that the span is the client's. */
  readonly attributes?: Names
  /** Whose models it uses where a model's name does not say. */
  readonly provider: string
  /** Of its use where no rule and no attribute says otherwise. */
  readonly billing_mode?: 'subscription'
  readonly logs: readonly RequestMap[]
  readonly spans: readonly RequestMap[]
  /** Never added to logs or spans: they count in sessions that neither tells of. */
  readonly metrics: readonly MetricMap[]
  /** How its metrics count. */
  readonly formula: Formula
}

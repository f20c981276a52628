/**
 * OTLP payloads after decoding, the same from protobuf and JSON: what the mappers read.
 * https://github.com/open-telemetry/opentelemetry-proto/blob/main/docs/specification.md
 */
export type AttributeValue = string | number | boolean | bigint | readonly AttributeValue[]

/** Without a prototype: keys come from outside. An empty value is an absent key. */
export type Attributes = Readonly<Record<string, AttributeValue>>

export type Scope = { readonly name: string; readonly version: string }

type Origin = { readonly resource: Attributes; readonly scope: Scope }

/** Instants are nanoseconds since 1970; 0n where the client sent none. Ids are lower-case hex or ''. */
export type LogRecord = Origin & {
  readonly attributes: Attributes
  /** The record's own field, which some clients fill with junk: the attribute `event.name` goes first. */
  readonly event_name: string
  /** Only a text body; anything else is null. */
  readonly body: string | null
  readonly time_ns: bigint
  readonly observed_ns: bigint
  readonly trace_id: string
  readonly span_id: string
}

export type Span = Origin & {
  readonly attributes: Attributes
  readonly name: string
  readonly trace_id: string
  readonly span_id: string
  readonly parent_span_id: string
  readonly start_ns: bigint
  readonly end_ns: bigint
}

export type MetricPoint = Origin & {
  readonly attributes: Attributes
  readonly metric: string
  readonly unit: string
  readonly kind: 'sum' | 'gauge' | 'histogram' | 'exponential_histogram' | 'summary'
  readonly temporality: 'unspecified' | 'delta' | 'cumulative'
  readonly is_monotonic: boolean
  readonly start_ns: bigint
  readonly time_ns: bigint
  /** The point says that it has no value. */
  readonly has_no_value: boolean
  /** The number, or a histogram's sum; NaN and infinities come through. Undefined: none was sent. */
  readonly value: number | undefined
  /** A histogram's count. */
  readonly count: number | undefined
}

/** How many items were seen to tell of no request and are not here, by client; `''` is none that we know. */
type Ignored = { readonly ignored?: ReadonlyMap<string, number> }

export type Batch =
  | ({ readonly signal: 'logs'; readonly records: readonly LogRecord[] } & Ignored)
  | ({ readonly signal: 'traces'; readonly spans: readonly Span[] } & Ignored)
  | { readonly signal: 'metrics'; readonly points: readonly MetricPoint[] }

/** What became of a batch. It is on disk when this is given. `rejected` items can never be booked. */
export type Booked = { readonly rejected: number; readonly message: string }

/** Additive measures of spend. Input tokens include the cached and the cache-writing ones. */
export type Sums = {
  billed_nanos: bigint
  metered_nanos: bigint
  /** The part of `billed_nanos` that was placed by usage shares. */
  allocated_nanos: bigint
  /** Billed by other vendors through a customer's own key: in no total. */
  byok_nanos: bigint
  requests: number
  /** Usage rows of sources that do not count requests. */
  uncounted_rows: number
  input_tokens: number
  cached_input_tokens: number
  cache_write_tokens: number
  output_tokens: number
  unpriced_requests: number
  other_currency_rows: number
}

export function noSums(): Sums {
  return {
    billed_nanos: 0n,
    metered_nanos: 0n,
    allocated_nanos: 0n,
    byok_nanos: 0n,
    requests: 0,
    uncounted_rows: 0,
    input_tokens: 0,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 0,
    unpriced_requests: 0,
    other_currency_rows: 0,
  }
}

export function addSums(into: Sums, more: Sums): void {
  into.billed_nanos += more.billed_nanos
  into.metered_nanos += more.metered_nanos
  into.allocated_nanos += more.allocated_nanos
  into.byok_nanos += more.byok_nanos
  into.requests += more.requests
  into.uncounted_rows += more.uncounted_rows
  into.input_tokens += more.input_tokens
  into.cached_input_tokens += more.cached_input_tokens
  into.cache_write_tokens += more.cache_write_tokens
  into.output_tokens += more.output_tokens
  into.unpriced_requests += more.unpriced_requests
  into.other_currency_rows += more.other_currency_rows
}

export function subtractSums(from: Sums, less: Sums): void {
  const negative = Object.entries(less).map(([name, value]) => [name, -value])
  addSums(from, Object.fromEntries(negative) as Sums)
}

/** The money of a total: each day was read from one view, so the two parts never overlap. */
export function costOf({ billed_nanos, metered_nanos }: Sums): bigint {
  return billed_nanos + metered_nanos
}

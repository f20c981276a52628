import type { UsageEvent } from '../ledger/event.ts'
import type { MetricSample } from '../ledger/metric.ts'
import type { Sender } from './attribution.ts'
import type { Batch } from './signal.ts'

export type Context = { readonly received_at: number; readonly token: Sender }

/** A batch as it came in. */
export type Arrival = { readonly batch: Batch; readonly context: Context }

export type Count = {
  accepted: number
  duplicates: number
  ignored: number
  rejected: number
  skewed: number
  /** Of the rejected, points of metrics that did not tell their temporality. */
  without_temporality: number
}

/** What a batch says, before anything of it is written. */
export type Reading = {
  readonly signal: Batch['signal']
  /** Each with the count that it is part of. */
  readonly events: Map<UsageEvent, Count>
  readonly samples: MetricSample[]
  /** Items read, by client; `''` is none that we know. */
  readonly counts: Map<string, Count>
  readonly problems: Set<string>
}

export function emptyReading(signal: Batch['signal']): Reading {
  return { signal, events: new Map(), samples: [], counts: new Map(), problems: new Set() }
}

/** What was read of a client. */
export function countOf({ counts }: Reading, client: string): Count {
  const known = counts.get(client)
  if (known) return known
  const count = {
    accepted: 0,
    duplicates: 0,
    ignored: 0,
    rejected: 0,
    skewed: 0,
    without_temporality: 0,
  }
  counts.set(client, count)
  return count
}

export function reject(reading: Reading, count: Count, problem: string): void {
  count.rejected += 1
  reading.problems.add(problem)
}

import type { UsageEvent } from '../ledger/event.ts'
import type { Sender } from './attribution.ts'
import type { Batch } from './signal.ts'

export type Context = { readonly received_at: number; readonly token: Sender }

/** A batch as it came in. */
export type Arrival = { readonly batch: Batch; readonly context: Context }

/** What a batch says, before anything of it is written. */
export type Reading = {
  readonly signal: Batch['signal']
  readonly events: UsageEvent[]
  /** Items read, by client; `''` is none that we know. */
  readonly counts: Map<string, { accepted: number; ignored: number; rejected: number }>
  readonly problems: Set<string>
}

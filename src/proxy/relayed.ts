import type { Api, Surface } from '../providers/wire.ts'
import type { Outcome } from './settlement.ts'
import type { createTap, Tap } from './tap.ts'

/** One request on its way to a provider, and what the answer is to go through. */
export type Relayed = {
  readonly provider_name: string
  readonly surface: Surface
  /** Null: nothing of the answer is read. */
  readonly api: Api | null
  readonly tap: (options: Parameters<typeof createTap>[2]) => Tap | null
  /** The provider's own secret, which no error may repeat to the client. */
  readonly secret: string
  /** The proxy asked for a usage event that the client did not ask for and must not get. */
  readonly hides_usage: boolean
  /** The running answer costs more than its hold: says so in words, or is null. */
  readonly checkRunning: ((tap: Tap) => string | null) | null
  readonly extra_headers: Readonly<Record<string, string>>
  readonly on_abort: 'stop' | 'drain'
  /** Books what happened; the answer's last byte waits for it. */
  settle(outcome: Outcome): Promise<void>
  /** The request never left. */
  release(): Promise<void>
  /** The provider refuses what the proxy put in: true when the request goes out again without it. */
  retryPlain(outcome: Outcome, text: string): Promise<boolean>
  logKeyRefused(status: number): void
}

import { MINUTE_MS } from '../clock.ts'
import type { ProxyKey } from '../keys/proxy-key.ts'
import { Refusal } from './refusal.ts'

type Use = {
  minute: number
  requests: number
  tokens: number
  /** Requests that run, and about the tokens that they will use. */
  running: number
  reserved: number
}

/** A request that was counted in. */
export type Turn = {
  /**
   * About what it will use, until it is known.
   * @throws Refusal `rate_limited`
   */
  reserve(tokens: number, now: number): void
  /** What it did use, in place of what was reserved; null: nobody told, so that stands. */
  count(tokens: number | null, now: number): void
  finish(): void
}

export type Limiter = {
  /**
   * Counts a request in; `finish` when it is over.
   * @throws Refusal `rate_limited` with the seconds after which a try can succeed.
   */
  admit(key: ProxyKey, now: number): Turn
}

/**
 * Limits of speed per wrapped key, counted in this process, by calendar minute. They protect from
 * loops; money is what budgets protect.
 */
export function createLimiter(): Limiter {
  const uses = new Map<string, Use>()
  function useOf(key: ProxyKey, now: number): Use {
    const minute = Math.floor(now / MINUTE_MS)
    const known = uses.get(key.id)
    if (known?.minute === minute) return known
    const { running = 0, reserved = 0 } = known ?? {}
    const fresh = { minute, requests: 0, tokens: 0, running, reserved }
    uses.set(key.id, fresh)
    return fresh
  }
  function refuse(key: ProxyKey, what: string, now: number): never {
    const retry_after_s = Math.ceil((MINUTE_MS - (now % MINUTE_MS)) / 1_000)
    throw new Refusal('rate_limited', `The key "${key.name}" allows ${what}.`, retry_after_s)
  }
  /** A request that alone is beyond the limit goes when no other counts: it would never go else. */
  function createTurn(key: ProxyKey): Turn {
    let reserved = 0
    return {
      reserve(tokens, now) {
        const use = useOf(key, now)
        const { tokens_per_minute } = key.limits
        const counted = use.tokens + use.reserved
        if (tokens_per_minute !== null && counted > 0 && counted + tokens > tokens_per_minute)
          refuse(key, `${tokens_per_minute} tokens a minute`, now)
        reserved = tokens
        use.reserved += tokens
      },
      count(tokens, now) {
        const use = useOf(key, now)
        use.tokens += tokens ?? reserved
        use.reserved -= reserved
        reserved = 0
      },
      finish() {
        const use = uses.get(key.id)
        if (!use) return
        use.running--
        use.reserved -= reserved
      },
    }
  }
  return {
    admit(key, now) {
      const use = useOf(key, now)
      const { requests_per_minute, concurrent_requests } = key.limits
      if (requests_per_minute !== null && use.requests >= requests_per_minute)
        refuse(key, `${requests_per_minute} requests a minute`, now)
      if (concurrent_requests !== null && use.running >= concurrent_requests)
        throw new Refusal(
          'rate_limited',
          `The key "${key.name}" allows ${concurrent_requests} requests at a time.`,
          1,
        )
      use.requests++
      use.running++
      return createTurn(key)
    },
  }
}

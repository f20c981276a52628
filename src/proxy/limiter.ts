import { MINUTE_MS } from '../clock.ts'
import type { ProxyKey } from '../keys/proxy-key.ts'
import { Refusal } from './refusal.ts'

type Use = { minute: number; requests: number; tokens: number; running: number }

export type Limiter = {
  /**
   * Counts a request in; `finish` when it is over.
   * @throws Refusal `rate_limited` with the seconds after which a try can succeed.
   */
  admit(key: ProxyKey, now: number): void
  /** @throws Refusal `rate_limited` */
  addTokens(key: ProxyKey, tokens: number, now: number): void
  finish(key: ProxyKey): void
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
    const fresh = { minute, requests: 0, tokens: 0, running: known?.running ?? 0 }
    uses.set(key.id, fresh)
    return fresh
  }
  function refuse(key: ProxyKey, what: string, now: number): never {
    const retry_after_s = Math.ceil((MINUTE_MS - (now % MINUTE_MS)) / 1_000)
    throw new Refusal('rate_limited', `The key "${key.name}" allows ${what}.`, retry_after_s)
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
    },
    addTokens(key, tokens, now) {
      const { tokens_per_minute } = key.limits
      if (tokens_per_minute === null) return
      const use = useOf(key, now)
      if (use.tokens > 0 && use.tokens + tokens > tokens_per_minute)
        refuse(key, `${tokens_per_minute} tokens a minute`, now)
      use.tokens += tokens
    },
    finish(key) {
      const use = uses.get(key.id)
      if (use) use.running = Math.max(0, use.running - 1)
    },
  }
}

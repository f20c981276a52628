import { UpstreamError } from '../errors.ts'
import type { Get, Pages } from './provider.ts'

const PAGES_MAX = 200

/**
 * Follows a query to its last page. No page token outlives the loop, so that none can go stale: what is
 * too long for one loop is a window to be halved by the caller.
 */
export function createPages(
  get: Get,
  { provider, pages_max = PAGES_MAX }: { provider: string; pages_max?: number },
): Pages {
  return async function pages(query, parse) {
    const seen = new Set<string>()
    let params = query.params
    for (let page = 1; ; page++) {
      if (page > pages_max)
        throw new UpstreamError(
          provider,
          200,
          `${provider} has more pages than are read at once.`,
          {
            code: 'window_too_large',
          },
        )
      const next = parse(await get({ ...query, params }))
      if (next === null) return
      const token = JSON.stringify(next)
      if (seen.has(token)) throw contractError(provider, 'sent the same page twice')
      seen.add(token)
      params = [...query.params, ...next]
    }
  }
}

/** An envelope that breaks the provider's own contract: nothing of the window can be trusted. */
export function contractError(provider: string, what: string): UpstreamError {
  return new UpstreamError(provider, 200, `${provider} ${what}.`, { code: 'contract_violation' })
}

/** A wrapped key as the proxy sees it: everything that decides whether and how one request goes on. */
export type ProxyKey = {
  /** The public part: `olk_<id>_…`. What budgets and ledger entries name. */
  readonly id: string
  readonly name: string
  /** Ids of the providers that it opens; an OpenAI-compatible upstream goes by its connection's name. */
  readonly providers: readonly string[]
  /** Whether the key may ask for this model; the name is as the client spelled it. */
  allowsModel(provider: string, model: string): boolean
  /** Whether the key may be used from this address: an IPv4 or IPv6 text, never a mapped one. */
  allowsAddress(address: string): boolean
  /** They win over tags that a client sends. */
  readonly tags: Readonly<Record<string, string>>
  readonly user: string | null
  readonly workspace: string | null
  /** A request that its budgets cannot hold in full is refused, or gets a smaller output limit. */
  readonly on_limit: 'refuse' | 'clamp'
  /** When the client leaves: stop the provider, or read on to the exact usage. */
  readonly on_abort: 'stop' | 'drain'
  readonly limits: ProxyKeyLimits
}

/** Null: no limit. */
export type ProxyKeyLimits = {
  readonly requests_per_minute: number | null
  readonly tokens_per_minute: number | null
  readonly concurrent_requests: number | null
}

/** Why a text opens nothing. `message` is for the client and never holds any part of the secret. */
export type KeyProblem = {
  readonly problem: 'unknown' | 'wrong_kind' | 'expired' | 'revoked' | 'paused'
  readonly message: string
}

/** What stands behind a text that a client sent as its key. */
export type ResolveKey = (secret_text: string, now: number) => ProxyKey | KeyProblem

export function isKeyProblem(result: ProxyKey | KeyProblem): result is KeyProblem {
  return 'problem' in result
}

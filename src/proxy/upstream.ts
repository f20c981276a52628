import { Pool } from 'undici'
import { HOUR_MS } from '../clock.ts'
import { compatWire } from '../providers/compat/wire.ts'
import type { Provider } from '../providers/provider.ts'
import type { Wire } from '../providers/wire.ts'

export type UpstreamDeps = {
  readonly providers: readonly Provider[]
  /** Where a provider is reached, if not at its real host. */
  baseUrl(provider: string): string | undefined
  /** The base URL of an OpenAI-compatible connection; null for a name that none has. */
  compatBaseUrl(name: string): string | null
}

/** Reasoning models are silent for minutes, and clients wait for as long as they like. */
const SILENCE_MS = HOUR_MS
const IDLE_MS = 30_000

export type Upstreams = {
  /** How a provider is spoken to, at the base URL that is set for it. */
  findWire(id: string, is_compat: boolean): Wire | undefined
  /** The connections to a host, and the path that every request to it begins with. */
  connect(base_url: string): { readonly pool: Pool; readonly prefix: string }
  close(): Promise<void>
}

export function createUpstreams(deps: UpstreamDeps): Upstreams {
  const pools = new Map<string, { pool: Pool; prefix: string }>()
  const wires = new Map<string, Wire>()
  return {
    findWire(id, is_compat) {
      const own = is_compat ? undefined : deps.providers.find((one) => one.id === id)?.wire
      const base_url = is_compat
        ? deps.compatBaseUrl(id)
        : (deps.baseUrl(id) ?? own?.base_url ?? null)
      if (base_url === null || !(own || is_compat)) return undefined
      return remember(wires, `${id} ${base_url}`, () =>
        own ? { ...own, base_url } : compatWire(id, base_url),
      )
    },
    connect: (base_url) => remember(pools, base_url, () => open(base_url)),
    async close() {
      await Promise.all([...pools.values()].map(({ pool }) => pool.destroy()))
    },
  }
}

function remember<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

function open(base_url: string): { pool: Pool; prefix: string } {
  const { origin, pathname } = new URL(base_url)
  const pool = new Pool(origin, {
    headersTimeout: SILENCE_MS,
    bodyTimeout: SILENCE_MS,
    keepAliveTimeout: IDLE_MS,
    allowH2: false,
  })
  return { pool, prefix: pathname.replace(/\/+$/, '') }
}

import type { App } from '../app.ts'
import { listUpstreamKeys } from '../keys/upstream-key.ts'
import type { WrappedKey } from '../keys/wrapped-key.ts'
import { findLease } from '../store/lease.ts'
import { OWNER_LEASE } from './scheduler.ts'
import type { OwnerDetail } from './status.ts'

/** Where the owner's side port is; undefined while nobody has it open. */
export async function findSidePort({ db, holder }: App): Promise<string | undefined> {
  const owner = await findLease(db, holder, OWNER_LEASE)
  return (JSON.parse(owner?.detail ?? '{}') as OwnerDetail).side_port
}

/** What a client's base URL is set to: https://github.com/openai/openai-node wants the `/v1`. */
export async function baseUrlsOf(
  { db, config, providers }: App,
  key: WrappedKey,
  side_port: string | undefined,
): Promise<Record<string, string>> {
  const root = `${side_port ?? `http://${config.host}:${config.port}`}/proxy`
  const compat = new Set(
    (await listUpstreamKeys(db)).flatMap((one) => (one.is_compat ? [one.provider] : [])),
  )
  const known = new Set(providers.map(({ id }) => id))
  return Object.fromEntries(
    key.providers.map((provider) => {
      if (compat.has(provider) && !known.has(provider))
        return [provider, `${root}/compat/${provider}`]
      return [provider, `${root}/${provider}${BASE_PATHS[provider] ?? ''}`]
    }),
  )
}

const BASE_PATHS: Readonly<Record<string, string>> = { openai: '/v1' }

import type { App } from '../app.ts'
import { UserError } from '../errors.ts'
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

/**
 * Where clients reach Outlay: at the owner's side port, else where the next one will open it.
 * @throws UserError when only the start will tell.
 */
export async function getSidePort(app: App): Promise<string> {
  const side_port = (await findSidePort(app)) ?? fixedSidePort(app)
  if (side_port !== undefined) return side_port
  throw new UserError(
    'No Outlay is running, and with OUTLAY_PORT=0 each start takes another port. Start one (outlay serve) and call again, or set OUTLAY_PORT to a port of your choice.',
  )
}

function fixedSidePort({ config }: App): string | undefined {
  return config.port === 0 ? undefined : `http://${config.host}:${config.port}`
}

/**
 * What a client's base URL is set to: https://github.com/openai/openai-node wants the `/v1`. Empty where
 * only the next start tells the port.
 */
export async function baseUrlsOf(
  app: App,
  key: WrappedKey,
  side_port: string | undefined,
): Promise<Record<string, string>> {
  const { db, providers } = app
  const base = side_port ?? fixedSidePort(app)
  if (base === undefined) return {}
  const root = `${base}/proxy`
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

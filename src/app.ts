import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import { UserError } from './errors.ts'
import { openSealer, type Sealer } from './keys/seal.ts'
import type { Log } from './log.ts'
import type { TelemetryPolicy } from './policy.ts'
import type { Catalog } from './pricing/catalog.ts'
import { providers } from './providers/index.ts'
import type { Provider } from './providers/provider.ts'
import { chooseDriver, type DriverName } from './store/driver.ts'
import type { Holder } from './store/lease.ts'
import { openStore } from './store/open.ts'
import type { Db } from './store/schema.ts'

/** What the process gives: everything of it that the rest of the program may know. */
export type Host = {
  readonly holder: Holder
  readonly clock: Clock
  readonly log: Log
  readonly versions: Readonly<Record<string, string | undefined>>
}

/** Limits of the HTTP client towards providers; set only by tests that cannot wait. */
export type HttpLimits = {
  readonly timeout_ms?: number
  readonly backoff_ms?: number
}

/** The open program: a plain record of what its parts may use. `close()` undoes it. */
export type App = {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly db: Db
  readonly store_path: string
  readonly store_driver: DriverName
  readonly node_version: string
  readonly holder: Holder
  readonly sealer: Sealer
  readonly providers: readonly Provider[]
  readonly http_limits: HttpLimits
  /** The sync that runs in the background here, if one does; a person's own runs end it and go first. */
  readonly background_sync: { abort: AbortController | undefined; runs_before: number }
  /** Aborted when the program closes. */
  readonly closing: AbortSignal
  /** Prices, loaded at the first use: bundled rules under the user's own. */
  catalog(): Promise<Catalog>
  /** The user's rules for what is attributed to whom and who pays, read at the first use. */
  policy(): Promise<TelemetryPolicy>
  close(): Promise<void>
}

export async function openApp(
  config: Config,
  host: Host,
  http_limits: HttpLimits = {},
): Promise<App> {
  const { clock, log, holder, versions } = host
  const store = await openStore({
    path: config.database.path,
    driver: chooseDriver(config.sqlite, versions),
    now: clock.now(),
  })
  const closing = new AbortController()
  let catalog: Promise<Catalog> | undefined
  let policy: TelemetryPolicy | undefined
  return Object.freeze({
    config,
    clock,
    log,
    db: store.db,
    store_path: store.path,
    store_driver: store.driver,
    node_version: versions['node'] ?? 'unknown',
    holder,
    sealer: openSealer(config),
    providers,
    http_limits,
    background_sync: { abort: undefined, runs_before: 0 },
    closing: closing.signal,
    catalog() {
      catalog ??= openCatalog(config)
      return catalog
    },
    async policy() {
      const { readPolicy } = await import('./policy.ts')
      policy ??= await readPolicy(config.home)
      return policy
    },
    async close() {
      closing.abort()
      await store.close()
    },
  })
}

const PRICES_FILE = 'prices.json'

/** The user's own prices stand in `prices.json` in OUTLAY_HOME. @throws UserError when it is not valid. */
async function openCatalog({ home }: Config): Promise<Catalog> {
  const { readFile } = await import('node:fs/promises')
  const { join } = await import('node:path')
  const { loadCatalog, parseOverrides } = await import('./pricing/catalog.ts')
  const path = join(home, PRICES_FILE)
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return loadCatalog([])
  try {
    return loadCatalog(parseOverrides(JSON.parse(text)))
  } catch (error) {
    throw new UserError(`${path}: ${error instanceof Error ? error.message : 'not valid JSON'}`)
  }
}

import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  SqliteDialect,
  SqliteDriver,
} from 'kysely'
import { isBusy } from './driver.ts'

/** In all, for a lock that another process holds. */
const WAIT_MS_MAX = 10_000
const PAUSE_MS_MAX = 50

/**
 * Kysely's dialect, with a wait for the lock that lets everything else in this process go on: SQLite's
 * own busy timeout sleeps, and with it every stream that runs through the proxy.
 */
export class PatientDialect extends SqliteDialect {
  readonly #config: ConstructorParameters<typeof SqliteDialect>[0]

  constructor(config: ConstructorParameters<typeof SqliteDialect>[0]) {
    super(config)
    this.#config = config
  }

  override createDriver(): Driver {
    return new PatientDriver(this.#config)
  }
}

class PatientDriver extends SqliteDriver {
  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection()
    return {
      executeQuery: (query) => executePatiently(connection, query),
      streamQuery: (query, size) => connection.streamQuery(query, size),
    }
  }
}

/** What met a lock has done nothing: within a transaction, which has the lock from its start, none is met. */
async function executePatiently<Row>(connection: DatabaseConnection, query: CompiledQuery) {
  for (let waited_ms = 0, pause_ms = 1; ; waited_ms += pause_ms) {
    try {
      return await connection.executeQuery<Row>(query)
    } catch (error) {
      if (!isBusy(error) || waited_ms >= WAIT_MS_MAX) throw error
    }
    pause_ms = Math.min(pause_ms * 2, PAUSE_MS_MAX)
    await new Promise((resolve) => setTimeout(resolve, pause_ms))
  }
}

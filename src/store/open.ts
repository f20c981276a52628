import { closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Kysely, sql } from 'kysely'
import { damagedError, isDamage } from './backup.ts'
import { PatientDialect } from './dialect.ts'
import { type DriverName, openDriver } from './driver.ts'
import { migrate } from './migrate.ts'
import type { Database, Db } from './schema.ts'

export type StoreOptions = {
  /** A file, or `:memory:`. */
  readonly path: string
  readonly driver: DriverName
  readonly now: number
}

export type Store = {
  readonly db: Db
  readonly path: string
  readonly driver: DriverName
  close(): Promise<void>
}

/** 16 MiB: pages that many transactions touch are copied into the file once for all of them. */
const CHECKPOINT_PAGES = 4_000
/** Files up to this size are checked whole when opened; larger ones on first touch of a bad page. */
const CHECKED_BYTES_MAX = 8 * 2 ** 20

/**
 * Opens the store and brings it to the current schema. Any number of processes may do so at once.
 * @throws UserError for a newer or damaged file, with the path of the last backup.
 */
export async function openStore({ path, driver, now }: StoreOptions): Promise<Store> {
  if (path !== ':memory:') makeFile(path)
  const database = openDriver(path, driver)
  const db = new Kysely<Database>({ dialect: new PatientDialect({ database }) })
  try {
    // The dialect waits, and lets others go on meanwhile.
    await sql`pragma busy_timeout = 0`.execute(db)
    await refuseDamage(db, path)
    await useWal(db)
    await sql`pragma synchronous = normal`.execute(db)
    await sql`pragma wal_autocheckpoint = ${sql.lit(CHECKPOINT_PAGES)}`.execute(db)
    await sql`pragma foreign_keys = on`.execute(db)
    await sql`pragma cache_size = -16000`.execute(db)
    await migrate(db, { path, driver, now })
  } catch (error) {
    await db.destroy()
    throw isDamage(error) ? damagedError(path) : error
  }
  return { db, path, driver, close: () => db.destroy() }
}

/** For nobody else to read, whoever may look into the folder; SQLite gives its other files the same mode. */
function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
}

async function refuseDamage(db: Db, path: string): Promise<void> {
  const bytes = existsSync(path) ? statSync(path).size : 0
  if (bytes === 0 || bytes > CHECKED_BYTES_MAX) return
  const { rows } = await sql<{ quick_check: string }>`pragma quick_check(1)`.execute(db)
  if (rows[0]?.quick_check !== 'ok') throw damagedError(path)
}

/** Switching to WAL needs the file alone for a moment and does not wait for it by itself. */
async function useWal(db: Db): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await sql`pragma journal_mode = wal`.execute(db)
      return
    } catch (error) {
      const is_busy = /locked|busy/i.test(error instanceof Error ? error.message : '')
      if (!is_busy || attempt === 100) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

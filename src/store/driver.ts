import { createRequire } from 'node:module'
import type { SqliteDatabase, SqliteStatement } from 'kysely'
import { UserError } from '../errors.ts'

export type DriverName = 'better-sqlite3' | 'node'

/** What both drivers have in common, and all that is used of them. */
type Native = {
  close(): void
  exec(sql: string): unknown
  prepare(sql: string): NativeStatement
}
type NativeStatement = {
  all(...parameters: unknown[]): unknown[]
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  iterate(...parameters: unknown[]): IterableIterator<unknown>
  /** better-sqlite3 only. */
  readonly reader?: boolean
  /** node:sqlite only. */
  columns?(): unknown[]
}

const STATEMENTS_MAX = 200

/**
 * Opens a file with one of the two drivers behind Kysely's stock SQLite dialect. Integers beyond
 * 2⁵³ must be read as text (see `nanos` in `columns.ts`): one driver would round them, the other throw.
 */
export function openDriver(path: string, name: DriverName): SqliteDatabase {
  const native = name === 'node' ? openNodeSqlite(path) : openBetterSqlite(path)
  const statements = new Map<string, SqliteStatement>()
  return {
    close() {
      statements.clear()
      native.close()
    },
    prepare(sql) {
      // Every transaction of ours writes; taking the write lock at once avoids SQLITE_BUSY half-way,
      // which no busy timeout can wait out: https://www.sqlite.org/lang_transaction.html
      const text = sql === 'begin' ? 'begin immediate' : sql
      const known = statements.get(text)
      if (known) return known
      const statement = adapt(native.prepare(text))
      if (statements.size >= STATEMENTS_MAX) statements.clear()
      statements.set(text, statement)
      return statement
    },
  }
}

/**
 * `auto` takes better-sqlite3 where its Node-API level is there, else the built-in module: the former
 * kills the process without a word below Node-API 10, and Claude Desktop's Electron refuses addons.
 */
export function chooseDriver(
  wanted: 'auto' | DriverName,
  versions: Readonly<Record<string, string | undefined>>,
): DriverName {
  const can_load_addon = Number(versions['napi'] ?? 0) >= 10 && !versions['electron']
  if (wanted === 'better-sqlite3' && !can_load_addon)
    throw new UserError('better-sqlite3 does not run on this Node. Set OUTLAY_SQLITE=node.')
  if (wanted !== 'auto') return wanted
  return can_load_addon && isInstalled('better-sqlite3') ? 'better-sqlite3' : 'node'
}

const require = createRequire(import.meta.url)

function isInstalled(name: string): boolean {
  try {
    require.resolve(name)
    return true
  } catch {
    return false
  }
}

function openBetterSqlite(path: string): Native {
  const Database = require('better-sqlite3') as new (path: string) => Native
  return new Database(path)
}

function openNodeSqlite(path: string): Native {
  const { DatabaseSync } = require('node:sqlite') as { DatabaseSync: new (path: string) => Native }
  return new DatabaseSync(path)
}

function adapt(statement: NativeStatement): SqliteStatement {
  const reader = statement.reader ?? (statement.columns?.().length ?? 0) > 0
  return {
    reader,
    all: (parameters) => statement.all(...parameters.map(bindable)),
    run: (parameters) => statement.run(...parameters.map(bindable)),
    iterate: (parameters) => statement.iterate(...parameters.map(bindable)),
  }
}

/** Both drivers bind a number as REAL, which would turn integer division in SQL into another one. */
function bindable(value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value)
  return Number.isSafeInteger(value) ? BigInt(value as number) : value
}

/** Prepared statements without a query builder, for the few that run thousands of times a second. */
export type Statements = {
  /** Numbers are bound as REAL: fine for strict integer columns, not for integer division. */
  prepare(sql: string): Statement
  close(): void
}
export type Statement = {
  run(...cells: readonly unknown[]): {
    readonly changes: number | bigint
    readonly lastInsertRowid: number | bigint
  }
  all(...cells: readonly unknown[]): unknown[]
}

/** A connection of its own that never waits for the lock: the caller tries again, without blocking others. */
export function openStatements(path: string, name: DriverName): Statements {
  const native = name === 'node' ? openNodeSqlite(path) : openBetterSqlite(path)
  for (const pragma of ['busy_timeout = 0', 'synchronous = normal', 'cache_size = -4000'])
    native.exec(`pragma ${pragma}`)
  return { prepare: (text) => native.prepare(text), close: () => native.close() }
}

/** Locked, full or unreadable: what another try can cure, unlike a row that breaks a rule. */
export function isStoreTrouble(error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  const name = typeof code === 'string' ? code : ''
  if (name.startsWith('SQLITE_')) return TROUBLES.some((trouble) => name.startsWith(trouble))
  return typeof errcode === 'number' && TROUBLE_CODES.has(errcode & 0xff)
}

/** Another connection has the lock. */
export function isBusy(error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  if (typeof code === 'string' && code.startsWith('SQLITE_BUSY')) return true
  return typeof errcode === 'number' && (errcode & 0xff) === BUSY
}

// https://www.sqlite.org/rescode.html
const BUSY = 5
const TROUBLES = [
  'SQLITE_BUSY',
  'SQLITE_LOCKED',
  'SQLITE_NOMEM',
  'SQLITE_READONLY',
  'SQLITE_IOERR',
  'SQLITE_CORRUPT',
  'SQLITE_FULL',
  'SQLITE_CANTOPEN',
]
const TROUBLE_CODES = new Set([5, 6, 7, 8, 10, 11, 13, 14])

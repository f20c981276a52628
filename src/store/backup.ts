import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { sql } from 'kysely'
import { UserError } from '../errors.ts'
import type { Db } from './schema.ts'

/** `SQLITE_CORRUPT` or `SQLITE_NOTADB`, in either driver's spelling. */
export function isDamage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  return (
    /^SQLITE_(CORRUPT|NOTADB)/.test(String(code)) ||
    (typeof errcode === 'number' && [11, 26].includes(errcode & 0xff))
  )
}

export function damagedError(path: string): UserError {
  const backup = listBackups(path)[0]?.file
  const advice = backup
    ? `Stop Outlay and restore the last backup: ${backup}`
    : 'There is no backup yet. Move the file away and start again; synced data comes back.'
  return new UserError(`The database ${path} is damaged. ${advice}`)
}

export function backupFolder(path: string): string {
  return join(dirname(path), 'backups')
}

/** Newest first. */
export function listBackups(path: string): { file: string; at: number }[] {
  const folder = backupFolder(path)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.db'))
    .map((name) => join(folder, name))
    .map((file) => ({ file, at: statSync(file).mtimeMs }))
    .sort((a, b) => b.at - a.at)
}

/** Removes all but the newest `kept` of the copies whose names begin with `prefix`. */
export function pruneBackups(path: string, prefix: string, kept: number): void {
  const old = listBackups(path).filter(({ file }) => basename(file).startsWith(prefix))
  for (const { file } of old.slice(kept)) rmSync(file)
}

/** Copies the whole store into a file of its own, consistent while others write. */
export async function backUp(db: Db, path: string, label: string): Promise<string | undefined> {
  if (path === ':memory:') return undefined
  mkdirSync(backupFolder(path), { recursive: true, mode: 0o700 })
  const file = join(backupFolder(path), `${label}.db`)
  if (!existsSync(file)) await sql`vacuum into ${file}`.execute(db)
  return file
}

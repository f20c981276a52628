import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Copy } from './copy-thread.ts'
import type { DriverName } from './driver.ts'

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

/** Follows the name of a copy that is being made. */
const PART = '.part-'

function backupFolder(path: string): string {
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

/** Removes all but the newest `kept` of the copies whose names begin with `prefix`, and what was cut short. */
export function pruneBackups(path: string, prefix: string, kept: number): void {
  const old = listBackups(path).filter(({ file }) => basename(file).startsWith(prefix))
  for (const { file } of old.slice(kept)) rmSync(file)
  const folder = backupFolder(path)
  for (const name of readdirSync(folder))
    if (name.startsWith(prefix) && name.includes(PART)) rmSync(join(folder, name), { force: true })
}

/**
 * Copies the whole store into a file of its own, consistent while others write, and in a thread of its
 * own: a large one takes seconds. A copy that was cut short never looks like one.
 */
export async function backUp(
  path: string,
  driver: DriverName,
  label: string,
): Promise<string | undefined> {
  if (path === ':memory:') return undefined
  mkdirSync(backupFolder(path), { recursive: true, mode: 0o700 })
  const file = join(backupFolder(path), `${label}.db`)
  if (existsSync(file)) return file
  const part = `${file}${PART}${newId('copy')}`
  try {
    await copy({ from: path, to: part, driver })
    renameSync(part, file)
  } finally {
    rmSync(part, { force: true })
  }
  return file
}

async function copy(workerData: Copy): Promise<void> {
  // Options of the process, such as those of a script on its command line, are none of a thread.
  const script = `./copy-thread${extname(import.meta.filename)}`
  const worker = new Worker(new URL(script, import.meta.url), {
    workerData,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  await once(worker, 'exit')
}

import { opendir, realpath, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { LocalClient, LogFile } from './client.ts'

/** Deeper than any client nests its folders. */
const DEPTH_MAX = 12
const FILES_MAX = 1_000_000

/**
 * The log files under a client's folders, in the order in which their sessions began. Links are
 * followed, each folder once, so that a loop ends; what cannot be opened is left out.
 */
export async function listFiles(
  client: LocalClient,
  folders: readonly string[],
  signal: AbortSignal,
): Promise<LogFile[]> {
  const files = new Map<string, LogFile>()
  const visited = new Set<string>()
  for (const root of folders) await walk({ root, folder: root, depth: 0 })
  return [...files.values()].sort(client.compare)

  async function walk({ root, folder, depth }: Place): Promise<void> {
    signal.throwIfAborted()
    const real = await realpath(folder).catch(() => undefined)
    if (real === undefined || visited.has(real) || depth > DEPTH_MAX) return
    visited.add(real)
    const entries = await opendir(real).catch(() => undefined)
    if (!entries) return
    for await (const entry of entries) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) await walk({ root, folder: path, depth: depth + 1 })
      else if (entry.isSymbolicLink() && (await isFolder(path)))
        await walk({ root, folder: path, depth: depth + 1 })
      else if (entry.isFile() || entry.isSymbolicLink()) await add(root, path)
    }
  }

  async function add(root: string, path: string): Promise<void> {
    const format = client.formatOf(relative(root, path))
    if (format === undefined || files.size >= FILES_MAX) return
    const real = await realpath(path).catch(() => undefined)
    const found = real === undefined ? undefined : await stat(real).catch(() => undefined)
    if (real === undefined || !found?.isFile()) return
    const mtime_ms = Math.floor(found.mtimeMs)
    const name = path.split(/[/\\]/).at(-1) ?? ''
    files.set(real, { path: real, name, size: found.size, mtime_ms, format })
  }
}

type Place = { readonly root: string; readonly folder: string; readonly depth: number }

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found?.isDirectory() ?? false
}

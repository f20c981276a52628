import { sha256 } from '../ids.ts'

export type ProjectNames = 'name' | 'hash' | 'off'

const HASH_LENGTH = 12

/** Names a project by its folder's last segment or by a hash of the path; the path itself is never kept. */
export function nameProject(mode: ProjectNames, folder: string | null): string | null {
  if (mode === 'off' || folder === null) return null
  const path = folder.replace(/[/\\]+$/, '')
  if (path === '') return null
  if (mode === 'hash') return sha256('project', path).slice(0, HASH_LENGTH)
  return path.split(/[/\\]/).at(-1) || null
}

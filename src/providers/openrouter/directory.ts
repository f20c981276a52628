import * as z from 'zod'
import { UpstreamError } from '../../errors.ts'
import type { DirectoryEntry } from '../../ledger/bucket.ts'
import { contractError } from '../pages.ts'
import type { Get } from '../provider.ts'
import { OptionalText, Text } from '../rows.ts'

export const ID = 'openrouter'

const PAGES_MAX = 200

const Key = z.object({
  hash: Text,
  name: OptionalText,
  label: OptionalText,
  disabled: z.boolean().nullish(),
  workspace_id: OptionalText,
})
export type Key = z.output<typeof Key>

const List = z.object({ data: z.array(z.unknown()) })

/** Workspaces have no list of their own: those with spend, and the default one, which no filter shows. */
export async function listWorkspaces(get: Get): Promise<string[]> {
  const body = List.safeParse(await get({ path: '/activity', params: [['group_by', 'workspace']] }))
  if (!body.success) throw contractError(ID, 'sent an activity that is none')
  const spending = body.data.data.flatMap(
    (raw) => z.object({ workspace_id: Text }).safeParse(raw).data?.workspace_id ?? [],
  )
  return [...new Set([(await findDefaultWorkspace(get)) ?? '', ...spending])]
}

/** The default workspace's id is on each of its keys; undefined when it has none. */
export async function findDefaultWorkspace(get: Get): Promise<string | undefined> {
  const [key] = await listKeys(get, '')
  return key?.workspace_id ?? undefined
}

/**
 * All keys of a workspace; `''` is the default one. How many an answer holds is not said, so that only
 * one with nothing new is the last: https://openrouter.ai/docs/api-reference/api-keys/list
 */
export async function listKeys(get: Get, workspace: string): Promise<Key[]> {
  const keys = new Map<string, Key>()
  let offset = 0
  for (let page = 0; page < PAGES_MAX; page++) {
    const { length, found } = await readKeys(get, workspace, offset)
    const before = keys.size
    for (const key of found) keys.set(key.hash, key)
    if (keys.size === before) return [...keys.values()]
    offset += length
  }
  throw contractError(ID, 'has more pages of keys than are read')
}

async function readKeys(get: Get, workspace: string, offset: number) {
  const params: [string, string][] = [
    ['include_disabled', 'true'],
    ['offset', String(offset)],
  ]
  if (workspace) params.push(['workspace_id', workspace])
  const body = List.safeParse(await get({ path: '/keys', params }))
  if (!body.success) throw contractError(ID, 'sent a list that is none')
  const found = body.data.data.flatMap((raw) => Key.safeParse(raw).data ?? [])
  return { length: body.data.data.length, found }
}

export async function listNames(get: Get) {
  const entries: DirectoryEntry[] = []
  const failures: UpstreamError[] = []
  try {
    for (const workspace of await listWorkspaces(get))
      entries.push(...(await listKeys(get, workspace)).map((key) => keyEntry(key, workspace)))
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    failures.push(error)
  }
  return { entries, failures }
}

function keyEntry({ hash, name, label, disabled }: Key, workspace: string): DirectoryEntry {
  return {
    kind: 'api_key',
    id: hash,
    name: name || label || hash,
    status: disabled ? 'disabled' : 'active',
    ...(workspace ? { parent_id: workspace } : {}),
  }
}

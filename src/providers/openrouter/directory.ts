import * as z from 'zod'
import { UpstreamError } from '../../errors.ts'
import { contractError } from '../pages.ts'
import type { DirectoryEntry, Get } from '../provider.ts'
import { OptionalText, Text } from '../rows.ts'

/** https://openrouter.ai/docs/api-reference/api-keys/list: 100 keys an answer, by workspace. */
const PAGE = 100
const PAGES_MAX = 100

const Key = z.object({
  hash: Text,
  name: OptionalText,
  label: OptionalText,
  disabled: z.boolean().nullish(),
  created_at: OptionalText,
  workspace_id: OptionalText,
})
export type Key = z.output<typeof Key>

const List = z.object({ data: z.array(z.unknown()) })

/** Workspaces have no list of their own; `''` is the default one, which the plain list shows. */
export async function listWorkspaceIds(get: Get): Promise<string[]> {
  const body = List.safeParse(await get({ path: '/activity', params: [['group_by', 'workspace']] }))
  if (!body.success) throw contractError('openrouter', 'sent an activity that is none')
  const seen = body.data.data.flatMap(
    (raw) => z.object({ workspace_id: Text }).safeParse(raw).data?.workspace_id ?? [],
  )
  const plain = (await listKeys(get, '')).flatMap(({ workspace_id }) => workspace_id ?? [])
  const all = [...new Set([...plain, ...seen])].sort()
  return all.length > 0 ? all : ['']
}

export async function listKeys(get: Get, workspace: string): Promise<Key[]> {
  const keys: Key[] = []
  for (let page = 0; page < PAGES_MAX; page++) {
    const params: [string, string][] = [
      ['include_disabled', 'true'],
      ['offset', String(page * PAGE)],
    ]
    if (workspace) params.push(['workspace_id', workspace])
    const body = List.safeParse(await get({ path: '/keys', params }))
    if (!body.success) throw contractError('openrouter', 'sent a list that is none')
    for (const raw of body.data.data) {
      const key = Key.safeParse(raw)
      if (key.success) keys.push(key.data)
    }
    if (body.data.data.length < PAGE) break
  }
  return keys
}

export async function listNames(get: Get) {
  const entries: DirectoryEntry[] = []
  const failures: UpstreamError[] = []
  try {
    for (const workspace of await listWorkspaceIds(get))
      for (const { hash, name, label, disabled } of await listKeys(get, workspace))
        entries.push({
          kind: 'api_key',
          id: hash,
          name: name ?? label ?? hash,
          status: disabled ? 'disabled' : 'active',
          ...(workspace ? { parent_id: workspace } : {}),
        })
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    failures.push(error)
  }
  return { entries, failures }
}

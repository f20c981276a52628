import * as z from 'zod'
import { UpstreamError } from '../../errors.ts'
import type { DirectoryEntry } from '../../ledger/bucket.ts'
import { contractError, createPages } from '../pages.ts'
import type { Get } from '../provider.ts'
import { OptionalText, Text } from '../rows.ts'
import { ID } from './rows.ts'

/** https://platform.openai.com/docs/api-reference/projects: there is no list of all keys, only by project. */
const LIMIT: [string, string] = ['limit', '100']

const Item = z.object({
  id: Text,
  name: OptionalText,
  email: OptionalText,
  status: OptionalText,
  created_at: z.number().nullish(),
  owner: z
    .looseObject({ service_account: z.looseObject({ id: Text, name: OptionalText }).nullish() })
    .nullish(),
})
type Item = z.output<typeof Item>

const List = z.object({
  data: z.array(z.unknown()),
  has_more: z.boolean().optional(),
  last_id: z.string().nullish(),
})

export async function listNames(get: Get) {
  const entries: DirectoryEntry[] = []
  const failures: UpstreamError[] = []
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error
      failures.push(error)
    }
  }
  let projects: Item[] = []
  await attempt(async () => {
    projects = await listProjects(get)
    entries.push(...projects.map(projectEntry))
  })
  for (const { id } of projects)
    await attempt(async () => {
      const path = `/organization/projects/${encodeURIComponent(id)}/api_keys`
      const keys = await listItems(get, path, [['owner_project_access', 'any']])
      entries.push(...keys.map((key) => keyEntry(key, id)), ...keys.flatMap(accountEntry))
    })
  await attempt(async () => {
    entries.push(...(await listItems(get, '/organization/users')).map(userEntry))
  })
  return { entries, failures }
}

export function listProjects(get: Get): Promise<Item[]> {
  return listItems(get, '/organization/projects', [['include_archived', 'true']])
}

async function listItems(
  get: Get,
  path: string,
  params: readonly (readonly [string, string])[] = [],
): Promise<Item[]> {
  const items: Item[] = []
  await createPages(get, { provider: ID })({ path, params: [...params, LIMIT] }, (body) => {
    const page = List.safeParse(body)
    if (!page.success) throw contractError(ID, 'sent a list that is none')
    for (const raw of page.data.data) {
      const item = Item.safeParse(raw)
      if (item.success) items.push(item.data)
    }
    const { has_more, last_id } = page.data
    if (!has_more) return null
    if (!last_id) throw contractError(ID, 'promised another page without saying where')
    return [['after', last_id]]
  })
  return items
}

function projectEntry({ id, name, status }: Item): DirectoryEntry {
  return { kind: 'workspace', id, name: name || id, ...(status ? { status } : {}) }
}

function keyEntry({ id, name }: Item, parent_id: string): DirectoryEntry {
  return { kind: 'api_key', id, name: name || id, parent_id }
}

function accountEntry({ owner }: Item): DirectoryEntry[] {
  const account = owner?.service_account
  return account ? [{ kind: 'user', id: account.id, name: account.name || account.id }] : []
}

function userEntry({ id, name, email }: Item): DirectoryEntry {
  return { kind: 'user', id, name: email || name || id }
}

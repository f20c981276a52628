import * as z from 'zod'
import { UpstreamError } from '../../errors.ts'
import type { DirectoryEntry } from '../../ledger/bucket.ts'
import { contractError, createPages } from '../pages.ts'
import type { Get } from '../provider.ts'
import { OptionalText, Text } from '../rows.ts'
import { ID } from './rows.ts'

/** https://platform.claude.com/docs/en/api/admin-api: names for the ids in the reports. */
const LIMIT: [string, string] = ['limit', '1000']

const Item = z.object({
  id: Text,
  name: OptionalText,
  email: OptionalText,
  status: OptionalText,
  archived_at: OptionalText,
  scope: z.looseObject({ workspace_id: OptionalText }).nullish(),
  workspace_id: OptionalText,
})
type Item = z.output<typeof Item>

const List = z.object({
  data: z.array(z.unknown()),
  has_more: z.boolean().optional(),
  last_id: z.string().nullish(),
  next_page: z.string().nullish(),
})

export async function listNames(get: Get) {
  const entries: DirectoryEntry[] = []
  const failures: UpstreamError[] = []
  const attempt = async (list: () => Promise<DirectoryEntry[]>) => {
    try {
      entries.push(...(await list()))
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error
      failures.push(error)
    }
  }
  await attempt(() => listWorkspaces(get))
  await attempt(async () => (await listItems(get, 'api_keys')).map(keyEntry))
  await attempt(async () => (await listItems(get, 'users')).map(userEntry))
  await attempt(async () =>
    (await listItems(get, 'service_accounts', [['include_archived', 'true']])).map(userEntry),
  )
  return { entries, failures }
}

async function listWorkspaces(get: Get): Promise<DirectoryEntry[]> {
  const all = await listItems(get, 'workspaces', [
    ['include_archived', 'true'],
    ['include_default', 'true'],
  ])
  const home = await askDefaultWorkspace(get, all)
  return all.map((item) => ({
    kind: 'workspace',
    id: item.id,
    name: item.name || item.id,
    status: item.archived_at === null ? 'active' : 'archived',
    is_default: item.id === home,
  }))
}

/** Stands for the default workspace where the key may not ask for its id. */
const NAMELESS = 'default'
/** Answers that stay so; after any other the read fails, lest its rows move to another id and back. */
const HIDDEN = new Set([400, 401, 403, 404])

const homes = new WeakMap<Get, Promise<string>>()

/** The id of the default workspace, for which legacy reports show null; asked once a run. */
export function findDefaultWorkspace(get: Get): Promise<string> {
  const known = homes.get(get)
  if (known) return known
  const asked = listItems(get, 'workspaces', [...ARCHIVED, ['include_default', 'true']]).then(
    (all) => askDefaultWorkspace(get, all),
  )
  const home = asked.catch((error) => {
    if (error instanceof UpstreamError && HIDDEN.has(error.status)) return NAMELESS
    homes.delete(get)
    throw error
  })
  homes.set(get, home)
  return home
}

const ARCHIVED: readonly (readonly [string, string])[] = [['include_archived', 'true']]

/** It is the one that only `include_default` lists. */
async function askDefaultWorkspace(get: Get, all: readonly Item[]): Promise<string> {
  const others = new Set((await listItems(get, 'workspaces', ARCHIVED)).map(({ id }) => id))
  return all.find(({ id }) => !others.has(id))?.id ?? NAMELESS
}

async function listItems(
  get: Get,
  kind: string,
  params: readonly (readonly [string, string])[] = [],
): Promise<Item[]> {
  const items: Item[] = []
  const path = `/v1/organizations/${kind}`
  await createPages(get, { provider: ID })({ path, params: [...params, LIMIT] }, (body) => {
    const page = List.safeParse(body)
    if (!page.success) throw contractError(ID, 'sent a list that is none')
    for (const raw of page.data.data) {
      const item = Item.safeParse(raw)
      if (item.success) items.push(item.data)
    }
    const { has_more, last_id, next_page } = page.data
    if (next_page) return [['page', next_page]]
    if (!has_more) return null
    if (!last_id) throw contractError(ID, 'promised another page without saying where')
    return [['after_id', last_id]]
  })
  return items
}

function keyEntry({ id, name, status, scope, workspace_id }: Item): DirectoryEntry {
  const parent_id = scope?.workspace_id ?? workspace_id
  return {
    kind: 'api_key',
    id,
    name: name || id,
    ...(parent_id ? { parent_id } : {}),
    ...(status ? { status } : {}),
  }
}

function userEntry({ id, name, email }: Item): DirectoryEntry {
  return { kind: 'user', id, name: email || name || id }
}

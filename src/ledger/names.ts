import { rankByDistance } from '../closest.ts'
import { UserError } from '../errors.ts'
import type { Db } from '../store/schema.ts'
import { settlePending } from './pending.ts'
import type { GroupBy, SpendFilter } from './spend-query.ts'

/** The names of ids, of all connections together: ids are unique at their provider. */
export type Names = {
  name(group: GroupBy, id: string): string
  /** Ids whose id or name is the text, in any case. */
  ids(group: GroupBy, text: string): string[]
  known(group: GroupBy): string[]
}

const KINDS: Readonly<Record<string, string>> = {
  provider_key: 'api_key',
  workspace: 'workspace',
  user: 'user',
  wrapped_key: 'wrapped_key',
}

/** How "none" reads in an answer. */
const NONE: Readonly<Record<string, string>> = {
  model: '(no model)',
  provider_key: '(no key)',
  workspace: '(none)',
  user: '(no user)',
  project: '(no project)',
  session: '(no session)',
  client: '(unknown client)',
  wrapped_key: '(no wrapped key)',
}

export async function loadNames(db: Db): Promise<Names> {
  const listed = await db.selectFrom('directory_entry').select(['kind', 'id', 'name']).execute()
  const keys = await db.selectFrom('wrapped_key').select(['id', 'name']).execute()
  const rows: readonly { kind: string; id: string; name: string }[] = [
    ...listed,
    ...keys.map((key) => ({ kind: 'wrapped_key', ...key })),
  ]
  const names = new Map(rows.map(({ kind, id, name }) => [`${kind}:${id}`, name]))
  return {
    name(group, id) {
      if (id === '') return NONE[group] ?? '(none)'
      return names.get(`${KINDS[group]}:${id}`) ?? id
    },
    ids: (group, text) =>
      rows
        .filter(({ kind, id, name }) => kind === KINDS[group] && isSame(text, id, name))
        .map(({ id }) => id),
    known: (group) => rows.filter(({ kind }) => kind === KINDS[group]).map(({ name }) => name),
  }
}

function isSame(text: string, ...candidates: readonly string[]): boolean {
  return candidates.some((candidate) => candidate.toLowerCase() === text.toLowerCase())
}

/**
 * Turns names in a filter into ids.
 * @throws UserError for a value that nothing stored has, with the closest ones.
 */
export async function resolveFilter(
  db: Db,
  names: Names,
  filter: Readonly<Record<string, readonly string[]>>,
): Promise<SpendFilter> {
  await settlePending(db)
  const resolved: Record<string, string[]> = {}
  for (const [group, texts] of Object.entries(filter)) {
    const stored = await listStored(db, group as GroupBy)
    resolved[group] = texts.flatMap((text) => resolveValue(group as GroupBy, text, stored, names))
  }
  return resolved as SpendFilter
}

function resolveValue(
  group: GroupBy,
  text: string,
  stored: readonly string[] | undefined,
  names: Names,
): string[] {
  if (isSame(text, '', 'none', NONE[group] ?? '')) return ['']
  const named = names.ids(group, text)
  const exact = stored?.filter((value) => isSame(text, value)) ?? [text]
  const found = [...new Set([...named, ...exact])]
  if (found.length > 0) return found
  const known = [...new Set([...names.known(group), ...(stored ?? [])])].filter(Boolean)
  const near = rankByDistance(text, known, 3)
  const hint = near.length > 0 ? `Closest: ${near.join(', ')}.` : knownHint(known)
  throw new UserError(`No ${group} "${text}" has been seen. ${hint}`)
}

function knownHint(known: readonly string[]): string {
  if (known.length === 0) return 'None has been seen yet; get_status says what is connected.'
  return `Seen: ${known.slice(0, 10).join(', ')}${known.length > 10 ? ', …' : ''}.`
}

/** Values that occur in what is stored; undefined where any text may be asked for. */
async function listStored(db: Db, group: GroupBy): Promise<string[] | undefined> {
  const columns: Readonly<Record<string, 'model' | 'api_key' | 'workspace' | 'user'>> = {
    model: 'model',
    provider_key: 'api_key',
    workspace: 'workspace',
    user: 'user',
  }
  const entry_columns: Readonly<Record<string, EntryColumn>> = {
    model: 'model',
    user: 'user',
    project: 'project',
    client: 'client',
    session: 'session_id',
    wrapped_key: 'wrapped_key',
    workspace: 'workspace',
  }
  if (group === 'source') return ['admin_api', 'otlp', 'local_log', 'proxy']
  if (group === 'provider') return listProviders(db)
  const column = columns[group]
  const entry_column = entry_columns[group]
  if (!column && !entry_column) return undefined
  const values: (string | null)[] = []
  if (column) {
    const table = column === 'model' ? 'rollup_model_day' : 'rollup_day'
    const rows = await db
      .selectFrom(table as 'rollup_day')
      .select(`${column} as value`)
      .distinct()
      .execute()
    values.push(...rows.map(({ value }) => value))
  }
  if (entry_column) {
    values.push(...(await listEntryValues(db, entry_column)))
  }
  return [...new Set(values.map((value) => value ?? ''))]
}

type EntryColumn =
  | 'model'
  | 'user'
  | 'project'
  | 'client'
  | 'session_id'
  | 'wrapped_key'
  | 'workspace'

async function listEntryValues(db: Db, column: EntryColumn): Promise<(string | null)[]> {
  const tables = ['rollup_session', 'fallback_entry'] as const
  const rows = await Promise.all(
    tables.map((table) => db.selectFrom(table).select(`${column} as value`).distinct().execute()),
  )
  return rows.flat().map(({ value }) => value)
}

async function listProviders(db: Db): Promise<string[]> {
  const connections = await db.selectFrom('connection').select('provider').distinct().execute()
  const entries = await db.selectFrom('rollup_entry').select('provider').distinct().execute()
  const sums = await db.selectFrom('fallback_entry').select('provider').distinct().execute()
  return [...new Set([...connections, ...entries, ...sums].map(({ provider }) => provider))]
}

import { sql } from 'kysely'
import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { DirectoryEntry } from './bucket.ts'

const COLUMNS = [
  'connection_id',
  'kind',
  'id',
  'name',
  'parent_id',
  'status',
  'is_default',
  'observed_at',
]

/** Adds and renames; an entry that is gone at the provider keeps its last name here. */
export async function saveNames(
  db: Db,
  connection_id: string,
  entries: readonly DirectoryEntry[],
  observed_at: number,
): Promise<void> {
  await insertRows(
    db,
    'directory_entry',
    COLUMNS,
    entries.map((entry) => [
      connection_id,
      entry.kind,
      entry.id,
      entry.name,
      entry.parent_id ?? null,
      entry.status ?? null,
      entry.is_default ? 1 : 0,
      observed_at,
    ]),
    sql`on conflict (connection_id, kind, id) do update set ${sql.join(
      COLUMNS.slice(3).map((name) => sql`${sql.ref(name)} = ${sql.ref(`excluded.${name}`)}`),
    )}`,
  )
}

/** Whether a day's rollup since `since` has a key or workspace that has no name yet. */
export async function hasUnnamed(db: Db, connection_id: string, since: number): Promise<boolean> {
  const { rows } = await sql`
    select 1 from rollup_day
    where connection_id = ${connection_id} and day >= ${since} and api_key <> ''
      and not exists (select 1 from directory_entry entry
        where entry.connection_id = rollup_day.connection_id
          and entry.kind = 'api_key' and entry.id = rollup_day.api_key)
    limit 1`.execute(db)
  return rows.length > 0
}

import { type Kysely, sql } from 'kysely'
import { isoTime } from '../clock.ts'
import { UserError } from '../errors.ts'
import { backUp } from './backup.ts'
import { type Migration, migrations } from './migrations/index.ts'
import type { StoreOptions } from './open.ts'
import type { Db } from './schema.ts'

/**
 * Applies what is missing, each migration and its record in one transaction. The file is backed up
 * first unless it is new. The list is read again under the write lock, so that two processes that
 * start together do each step once.
 * @throws UserError when the store is newer than this program.
 */
export async function migrate(
  db: Db,
  { path, driver, now }: StoreOptions,
  steps: readonly Migration[] = migrations,
): Promise<void> {
  const before = await listApplied(db)
  refuseNewer(before, steps)
  if (before.length === steps.length) return
  if (before.length > 0)
    await backUp(path, driver, `before-${steps.at(-1)?.name}-${isoTime(now).replace(/[:.]/g, '')}`)
  for (const step of steps) {
    await db.transaction().execute(async (trx) => {
      await sql`create table if not exists migration (name text primary key, applied_at integer not null) strict`.execute(
        trx,
      )
      const applied = await listApplied(trx)
      refuseNewer(applied, steps)
      if (applied.includes(step.name)) return
      await step.up(trx as unknown as Kysely<unknown>)
      await trx.insertInto('migration').values({ name: step.name, applied_at: now }).execute()
    })
  }
}

async function listApplied(db: Db): Promise<string[]> {
  const { rows } = await sql`select 1 from sqlite_master where name = 'migration'`.execute(db)
  if (rows.length === 0) return []
  const applied = await db.selectFrom('migration').select('name').orderBy('name').execute()
  return applied.map(({ name }) => name)
}

function refuseNewer(applied: readonly string[], steps: readonly Migration[]): void {
  const unknown = applied.find((name) => !steps.some((step) => step.name === name))
  if (unknown)
    throw new UserError(
      `This database was written by a newer Outlay (it has "${unknown}"). Update Outlay, or point OUTLAY_HOME elsewhere.`,
    )
}

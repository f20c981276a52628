import type { Catalog } from '../pricing/catalog.ts'
import type { Db } from '../store/schema.ts'
import { rebuildCounting } from './counting.ts'
import { rebuildEntryRollups } from './entry-rollup.ts'
import { rebuildFallbacks } from './fallback.ts'
import { settlePending } from './pending.ts'

/**
 * Drops every projection of entries and metrics and makes it again from the facts: what metrics come
 * to, which entries count, and their rollups. The result is the same to the byte.
 */
export async function rebuildEntries(db: Db, catalog: Catalog): Promise<void> {
  await settlePending(db)
  await db.transaction().execute(async (trx) => {
    await rebuildFallbacks(trx, catalog)
    await rebuildCounting(trx)
    await rebuildEntryRollups(trx)
  })
}

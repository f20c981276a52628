import { DAY_MS } from '../clock.ts'
import type { Nanos } from '../money.ts'
import { nanos } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'

/** An uploaded file of requests for later, as far as their cost is concerned; never what they say. */
export type BatchFile = {
  readonly provider: string
  readonly file_id: string
  readonly model: string
  readonly bound_nanos: Nanos
  readonly input_tokens: number
  readonly output_tokens: number
  /** The rules it was bounded by: under others it must be uploaded again. */
  readonly price_rules: string
}

/** Providers delete such files after a month at the latest. */
const KEPT_MS = 60 * DAY_MS

export async function saveBatchFile(db: Db, file: BatchFile, now: number): Promise<void> {
  await db
    .deleteFrom('batch_file')
    .where('created_at', '<', now - KEPT_MS)
    .execute()
  await db
    .insertInto('batch_file')
    .values({ ...file, created_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

export async function findBatchFile(
  db: Db,
  provider: string,
  file_id: string,
): Promise<BatchFile | undefined> {
  const row = await db
    .selectFrom('batch_file')
    .select(['provider', 'file_id', 'model', 'input_tokens', 'output_tokens', 'price_rules'])
    .select(nanos('bound_nanos').as('bound'))
    .where('provider', '=', provider)
    .where('file_id', '=', file_id)
    .executeTakeFirst()
  if (!row) return undefined
  const { bound, ...file } = row
  return { ...file, bound_nanos: BigInt(bound) }
}

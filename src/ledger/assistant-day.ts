import { sql } from 'kysely'
import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { ReportWindow } from './bucket.ts'

const COLUMNS = [
  'stream_id',
  'bucket_start',
  'identity',
  'user',
  'client',
  'billing_mode',
  'model',
  'uncached_input_tokens',
  'cache_read_tokens',
  'cache_write_tokens',
  'output_tokens',
  'estimated_nanos',
  'observed_at',
]

/** The report of a person's days with a coding assistant; small, so that it is written anew each time. */
export async function replaceAssistantDays(
  trx: Db,
  window: ReportWindow,
  keep: (at: number) => boolean,
): Promise<void> {
  const { stream_id, range, observed_at } = window
  const held = await trx
    .selectFrom('assistant_day')
    .select('bucket_start')
    .distinct()
    .where('stream_id', '=', stream_id)
    .where('bucket_start', '>=', range.start)
    .where('bucket_start', '<', range.end)
    .execute()
  const replaced = held.map((row) => row.bucket_start).filter((at) => !keep(at))
  if (replaced.length > 0)
    await trx
      .deleteFrom('assistant_day')
      .where('stream_id', '=', stream_id)
      .where('bucket_start', 'in', replaced)
      .execute()
  await insertRows(
    trx,
    'assistant_day',
    COLUMNS,
    window.assistant.map((row) => [
      stream_id,
      row.bucket_start,
      JSON.stringify([
        row.user,
        row.client,
        row.billing_mode,
        row.terminal,
        row.is_remote,
        row.model,
      ]),
      row.user,
      row.client,
      row.billing_mode,
      row.model,
      row.uncached_input_tokens,
      row.cache_read_tokens,
      row.cache_write_tokens,
      row.output_tokens,
      row.estimated_nanos,
      observed_at,
    ]),
    sql`on conflict (stream_id, bucket_start, identity) do update set ${sql.join(
      COLUMNS.slice(6).map((name) => sql`${sql.ref(name)} = ${sql.ref(`excluded.${name}`)}`),
    )}`,
  )
}

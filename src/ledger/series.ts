import { insertRows } from '../store/columns.ts'
import type { Db } from '../store/schema.ts'
import type { Dimensions } from './bucket.ts'

const DIMENSIONS = [
  'model',
  'api_key',
  'workspace',
  'user',
  'service_tier',
  'context_window',
  'inference_geo',
  'speed',
  'component',
  'line_item',
  'other',
] as const satisfies readonly (keyof Dimensions)[]

/** The dimensions that are columns of their own. */
const COLUMNS = DIMENSIONS.slice(0, 9)

/** One text per set of coordinates; null stands for "not reported", which differs from `''`. */
export function dimsText(dims: Dimensions): string {
  return JSON.stringify(DIMENSIONS.map((name) => dims[name] ?? null))
}

/**
 * The ids of the given coordinates within one stream and grouping; missing ones are created. A new
 * grouping makes new series, so that rows of two report generations never mix.
 */
export async function internSeries(
  trx: Db,
  stream_id: number,
  grouping: string,
  all_dims: Iterable<Dimensions>,
): Promise<Map<string, number>> {
  const wanted = new Map<string, Dimensions>()
  for (const dims of all_dims) wanted.set(dimsText(dims), dims)
  const known = await listSeries(trx, stream_id, grouping)
  const missing = [...wanted].filter(([text]) => !known.has(text))
  if (missing.length === 0) return known
  await insertRows(
    trx,
    'series',
    ['stream_id', 'grouping', 'dims', ...COLUMNS],
    missing.map(([text, dims]) => [
      stream_id,
      grouping,
      text,
      ...COLUMNS.map((name) => dims[name] ?? null),
    ]),
  )
  return listSeries(trx, stream_id, grouping)
}

async function listSeries(
  trx: Db,
  stream_id: number,
  grouping: string,
): Promise<Map<string, number>> {
  const rows = await trx
    .selectFrom('series')
    .select(['dims', 'id'])
    .where('stream_id', '=', stream_id)
    .where('grouping', '=', grouping)
    .execute()
  return new Map(rows.map(({ dims, id }) => [dims, id]))
}

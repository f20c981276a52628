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
function dimsText(dims: Dimensions): string {
  return JSON.stringify(DIMENSIONS.map((name) => dims[name] ?? null))
}

/** The id of each of the coordinates given, by the object itself: their text is made only once. */
export type SeriesIds = ReadonlyMap<Dimensions, number>

/**
 * The ids of the given coordinates within one stream and grouping; missing ones are created. A new
 * grouping makes new series, so that rows of two report generations never mix.
 */
export async function internSeries(
  trx: Db,
  stream_id: number,
  grouping: string,
  all_dims: readonly Dimensions[],
): Promise<SeriesIds> {
  const texts = all_dims.map(dimsText)
  const known = await listSeries(trx, stream_id, grouping)
  const missing = new Map<string, Dimensions>()
  all_dims.forEach((dims, i) => {
    const text = texts[i] ?? ''
    if (!known.has(text)) missing.set(text, dims)
  })
  if (missing.size > 0) await createSeries(trx, stream_id, grouping, missing)
  const ids = missing.size > 0 ? await listSeries(trx, stream_id, grouping) : known
  const by_dims = new Map<Dimensions, number>()
  all_dims.forEach((dims, i) => {
    by_dims.set(dims, idOf(ids, texts[i] ?? ''))
  })
  return by_dims
}

function idOf(ids: ReadonlyMap<string, number>, text: string): number {
  const id = ids.get(text)
  if (id === undefined) throw new Error('a series was not interned')
  return id
}

async function createSeries(
  trx: Db,
  stream_id: number,
  grouping: string,
  missing: ReadonlyMap<string, Dimensions>,
): Promise<void> {
  await insertRows(
    trx,
    'series',
    ['stream_id', 'grouping', 'dims', ...COLUMNS],
    [...missing].map(([text, dims]) => [
      stream_id,
      grouping,
      text,
      ...COLUMNS.map((name) => dims[name] ?? null),
    ]),
  )
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

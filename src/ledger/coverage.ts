import { DAY_MS, floorTo } from '../clock.ts'
import type { Db } from '../store/schema.ts'

type Stretch = { readonly from: number; readonly until: number }

/** What the reports of one connection cover without gaps. */
export type Coverage = {
  readonly connection_id: string
  readonly provider: string
  readonly name: string
  /** Days whose provider-reported cost is complete. */
  readonly billed: Stretch | null
  /** Usage that has been read, up to the last bucket that had ended. */
  readonly metered: Stretch | null
  /** From here on the connection speaks for its provider; what others saw of it is not added. */
  readonly speaks_from: number | null
  /** One that was removed, or could not be read for a day, speaks up to its last reading; null: to the end. */
  readonly speaks_until: number | null
  readonly is_removed: boolean
  readonly last_read_at: number | null
}

/** So long without a reading, and a provider's silence is no zero any more. */
const SILENT_MS = DAY_MS

/** One entry for each connection that was ever read, removed ones too: their history stays. */
export async function listCoverage(db: Db, now?: number): Promise<Coverage[]> {
  const rows = await db
    .selectFrom('sync_stream')
    .innerJoin('connection', 'connection.id', 'sync_stream.connection_id')
    .select([
      'connection.id as connection_id',
      'connection.provider',
      'connection.name',
      'connection.removed_at',
      'view',
      'settle_ms',
      'watermark',
      'covered_from',
      'succeeded_at',
    ])
    .where('connection.duplicate_of', 'is', null)
    .where('view', 'in', ['cost', 'usage', 'both'])
    .where('watermark', 'is not', null)
    .orderBy('connection.id')
    .execute()
  const connections = Map.groupBy(rows, (row) => row.connection_id)
  return [...connections.values()].flatMap((streams) => {
    const [first] = streams
    if (!first) return []
    const { connection_id, provider, name, removed_at } = first
    const ends = streams.flatMap(({ watermark }) => watermark ?? [])
    const billed = common(streams.filter((row) => row.view !== 'usage').map(completeDays))
    const metered = common(streams.filter((row) => row.view !== 'cost').map(readStretch))
    const starts = streams.flatMap(({ covered_from }) => covered_from ?? [])
    const reads = streams.flatMap(({ succeeded_at }) => succeeded_at ?? [])
    const last_read_at = reads.length > 0 ? Math.max(...reads) : null
    const is_removed = removed_at !== null
    const is_silent = now !== undefined && now - (last_read_at ?? 0) >= SILENT_MS
    return {
      connection_id,
      provider,
      name,
      billed,
      metered,
      speaks_from: starts.length > 0 ? Math.min(...starts) : null,
      speaks_until: is_removed || is_silent ? Math.max(...ends, last_read_at ?? 0) : null,
      is_removed,
      last_read_at,
    }
  })
}

type StreamRow = {
  readonly watermark: number | null
  readonly covered_from: number | null
  readonly settle_ms: number
  readonly succeeded_at: number | null
}

/** A day is complete when it was read again once its reporting had time to settle. */
function completeDays({ watermark, covered_from, settle_ms, succeeded_at }: StreamRow): Stretch {
  const settled = Math.min(watermark ?? 0, (succeeded_at ?? 0) - settle_ms)
  return { from: covered_from ?? 0, until: floorTo(settled, DAY_MS) }
}

function readStretch({ watermark, covered_from }: StreamRow): Stretch {
  return { from: covered_from ?? 0, until: watermark ?? 0 }
}

function common(stretches: readonly Stretch[]): Stretch | null {
  if (stretches.length === 0) return null
  const from = Math.max(...stretches.map((one) => one.from))
  const until = Math.min(...stretches.map((one) => one.until))
  return from < until ? { from, until } : null
}

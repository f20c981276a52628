import { floorTo, utcDate } from '../clock.ts'
import { UpstreamError } from '../errors.ts'
import type { ReportWindow } from '../ledger/bucket.ts'
import { replaceWindow } from '../ledger/window.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Get, Pages, Range, Report, ReportRows, Variant } from '../providers/provider.ts'
import { type Holder, holdsLease } from '../store/lease.ts'
import type { Db } from '../store/schema.ts'
import { cutByVariant, halve } from './plan.ts'
import { getStream, type SyncStream } from './stream.ts'

/** What reading and storing windows needs; one for each connection and run. */
export type WindowContext = {
  readonly db: Db
  readonly catalog: Catalog
  readonly provider: string
  readonly now: () => number
  readonly pages: Pages
  readonly get: Get
  readonly holder: Holder
  readonly lease: string
  /** Groupings that this organisation refused in this run; they are not asked again. */
  readonly refused: Set<string>
  readonly signal: AbortSignal
  onRows(count: number): void
}

/** The code of an error that says that no report of the provider answers this range. */
const OUT_OF_REACH = 'out_of_reach'

export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
}

/**
 * Reads a range to its end and stores it, in as few transactions as its size allows, each of them a
 * complete range. `newest_first` is the backfill's order; otherwise the oldest piece comes first.
 */
export async function syncWindow(
  context: WindowContext,
  stream: SyncStream,
  report: Report,
  range: Range,
  newest_first = false,
): Promise<void> {
  const pieces = cutByVariant(report, range, context.now())
  for (const piece of newest_first ? pieces.reverse() : pieces) {
    context.signal.throwIfAborted()
    try {
      await syncPiece(context, stream, report, piece.range, piece.variants, newest_first)
    } catch (error) {
      // What no report reaches is left to the backfill, which ends there.
      const is_skipped = isOutOfReach(error) && !newest_first && piece.range.end < range.end
      if (!is_skipped) throw error
    }
  }
}

export function isOutOfReach(error: unknown): boolean {
  return error instanceof UpstreamError && error.detail.code === OUT_OF_REACH
}

async function syncPiece(
  context: WindowContext,
  stream: SyncStream,
  report: Report,
  range: Range,
  variants: readonly Variant[],
  newest_first: boolean,
): Promise<void> {
  try {
    const { variant, rows } = await readPiece(context, range, variants)
    await commit(context, stream, report, range, variant.grouping, rows)
  } catch (error) {
    const halves = isTooLarge(error) ? halve(range, report.bucket_ms) : undefined
    if (!halves) throw error
    for (const half of newest_first ? halves.reverse() : halves)
      await syncPiece(context, stream, report, half, variants, newest_first)
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof UpstreamError && error.detail.code === 'window_too_large'
}

async function readPiece(
  { provider, pages, get, refused }: WindowContext,
  range: Range,
  variants: readonly Variant[],
): Promise<{ variant: Variant; rows: ReportRows }> {
  for (const variant of variants) {
    if (refused.has(variant.grouping)) continue
    try {
      return { variant, rows: await variant.read(range, pages, get) }
    } catch (error) {
      const is_refusal = error instanceof UpstreamError && variant.refuses?.(error) === true
      if (!is_refusal) throw error
      refused.add(variant.grouping)
    }
  }
  const from = utcDate(range.start)
  throw new UpstreamError(provider, 400, `${provider} has no report for the days from ${from}.`, {
    code: OUT_OF_REACH,
  })
}

/** One transaction: the buckets, which rollups they outdate and the stream's progress, or nothing. */
async function commit(
  context: WindowContext,
  stream: SyncStream,
  report: Report,
  range: Range,
  grouping: string,
  rows: ReportRows,
): Promise<void> {
  const { db, catalog, provider, holder, lease } = context
  const now = context.now()
  const inside = ({ bucket_start }: { bucket_start: number }) =>
    bucket_start >= range.start && bucket_start < range.end
  const window: ReportWindow = {
    stream_id: stream.id,
    provider,
    grouping,
    range,
    bucket_ms: report.bucket_ms,
    usage: rows.usage.filter(inside),
    cost: rows.cost.filter(inside),
    assistant: rows.assistant.filter(inside),
    malformed: rows.malformed,
    observed_at: now,
  }
  await db.transaction().execute(async (trx) => {
    if (!(await holdsLease(trx, holder, lease)))
      throw new LeaseLostError('another Outlay took over the sync; this run stops')
    await replaceWindow(trx, catalog, window)
    await advance(trx, stream.id, report, window, rows)
  })
  context.onRows(window.usage.length + window.cost.length + window.assistant.length)
}

/** The watermark grows only over buckets that had ended, and only without a gap. */
async function advance(
  trx: Db,
  stream_id: number,
  report: Report,
  { range, grouping, observed_at, usage, cost, assistant }: ReportWindow,
  { unfamiliar, refreshed_at }: ReportRows,
): Promise<void> {
  const { watermark, covered_from } = await getStream(trx, stream_id)
  const ended = Math.min(range.end, floorTo(observed_at, report.bucket_ms))
  const touches = watermark === null || range.start <= watermark
  await trx
    .updateTable('sync_stream')
    .set((eb) => ({
      watermark: touches ? Math.max(watermark ?? ended, ended) : watermark,
      covered_from: Math.min(covered_from ?? range.start, range.start),
      rows_read: eb('rows_read', '+', usage.length + cost.length + assistant.length),
      unfamiliar_rows: unfamiliar,
      refreshed_at,
      grouping,
    }))
    .where('id', '=', stream_id)
    .execute()
}

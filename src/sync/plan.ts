import { ceilTo, DAY_MS, floorTo } from '../clock.ts'
import type { Range, Report, Variant } from '../providers/provider.ts'

/** Providers go on restating; a wider look back is taken once a day. */
const DEEP_READ_MS = 10 * DAY_MS
/** On these days of a month the whole month before is read again: bills are settled then. */
const MONTH_READ_DAYS = [3, 8]

type Progress = {
  readonly watermark: number | null
  readonly covered_from: number | null
  readonly backfill_from: number
  readonly deep_read_at: number | null
}

export type LivePlan = { readonly windows: readonly Range[]; readonly is_deep: boolean }

/**
 * The windows that bring a stream up to now, oldest first, so that the watermark grows without gaps.
 * The first run reads the newest window only; the rest is the backfill's.
 */
export function planLive(report: Report, progress: Progress, now: number): LivePlan {
  const { bucket_ms, window_ms } = report
  const end = report.serves_current ? ceilTo(now, bucket_ms) : floorTo(now, bucket_ms)
  const oldest = Math.max(firstBucket(report, now), progress.backfill_from)
  const { watermark, covered_from } = progress
  if (watermark === null || covered_from === null) {
    const start = Math.max(floorTo(end - window_ms, bucket_ms), Math.min(oldest, end - bucket_ms))
    return { windows: nonEmpty({ start, end }), is_deep: true }
  }
  const is_deep = progress.deep_read_at === null || now - progress.deep_read_at >= DAY_MS
  const back = Math.max(report.lookback_ms, is_deep ? deepLookback(now) : 0)
  const wanted = Math.min(watermark, floorTo(now, bucket_ms)) - back
  const start = Math.min(
    Math.max(floorTo(wanted, bucket_ms), covered_from, firstBucket(report, now)),
    end - bucket_ms,
  )
  return { windows: chunk({ start, end }, window_ms), is_deep }
}

/** The next older window of the backfill, or undefined when it is done. */
export function planBackfill(report: Report, progress: Progress, now: number): Range | undefined {
  const { covered_from } = progress
  if (covered_from === null) return undefined
  const oldest = Math.max(firstBucket(report, now), progress.backfill_from)
  const start = Math.max(oldest, covered_from - report.window_ms)
  return start < covered_from ? { start, end: covered_from } : undefined
}

/** Cuts a range where the variants change, and says which of them may answer each piece, best first. */
export function cutByVariant(
  report: Report,
  range: Range,
  now: number,
): { range: Range; variants: Variant[] }[] {
  const reach = (variant: Variant): Range =>
    variant.range?.(now) ?? { start: -Infinity, end: Infinity }
  const edges = report.variants
    .flatMap((variant) => [reach(variant).start, reach(variant).end])
    .filter((edge) => edge > range.start && edge < range.end)
  const points = [...new Set([range.start, ...edges, range.end])].sort((a, b) => a - b)
  return points.slice(1).map((end, i) => {
    const piece = { start: points[i] ?? range.start, end }
    const variants = report.variants.filter(
      (variant) => reach(variant).start <= piece.start && reach(variant).end >= piece.end,
    )
    return { range: piece, variants }
  })
}

/** Two halves on bucket borders, older first; undefined when the range is one bucket. */
export function halve({ start, end }: Range, bucket_ms: number): [Range, Range] | undefined {
  const middle = start + Math.floor((end - start) / bucket_ms / 2) * bucket_ms
  return middle > start
    ? [
        { start, end: middle },
        { start: middle, end },
      ]
    : undefined
}

function chunk({ start, end }: Range, size_ms: number): Range[] {
  const chunks: Range[] = []
  for (let at = start; at < end; at += size_ms)
    chunks.push({ start: at, end: Math.min(at + size_ms, end) })
  return chunks
}

function nonEmpty(range: Range): Range[] {
  return range.start < range.end ? [range] : []
}

function firstBucket(report: Report, now: number): number {
  const floor = report.floor(now)
  return Number.isFinite(floor) ? ceilTo(floor, report.bucket_ms) : floor
}

function deepLookback(now: number): number {
  const today = new Date(now)
  if (!MONTH_READ_DAYS.includes(today.getUTCDate())) return DEEP_READ_MS
  const month = Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - 1, 1)
  return Math.max(DEEP_READ_MS, now - month)
}

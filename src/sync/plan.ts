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

/** Buckets to be read again however old they are; `is_unplaced`: with the whole window after them. */
type Doubted = readonly { readonly bucket_start: number; readonly is_unplaced: boolean }[]

export type LivePlan = { readonly windows: readonly Range[]; readonly is_deep: boolean }

/**
 * The windows that bring a stream up to now, oldest first, so that the watermark grows without gaps.
 * The first run reads the newest window only; the rest is the backfill's.
 */
export function planLive(
  report: Report,
  progress: Progress,
  now: number,
  doubted: Doubted = [],
): LivePlan {
  const { bucket_ms, window_ms } = report
  const end = report.serves_current ? ceilTo(now, bucket_ms) : floorTo(now, bucket_ms)
  const oldest = Math.max(firstBucket(report, now), progress.backfill_from)
  const { watermark, covered_from } = progress
  if (watermark === null || covered_from === null) {
    const start = Math.max(floorTo(end - window_ms, bucket_ms), Math.min(oldest, end - bucket_ms))
    return { windows: nonEmpty({ start, end }), is_deep: true }
  }
  const { deep_read_at } = progress
  const is_month_due = deep_read_at === null || deep_read_at < latestMonthRead(now)
  const is_deep = is_month_due || now - deep_read_at >= DAY_MS
  const month = is_month_due ? now - monthBefore(now) : 0
  const back = Math.max(report.lookback_ms, is_deep ? DEEP_READ_MS : 0, month)
  const wanted = Math.min(watermark, floorTo(now, bucket_ms)) - back
  const start = Math.min(
    Math.max(floorTo(wanted, bucket_ms), covered_from, firstBucket(report, now)),
    end - bucket_ms,
  )
  const older = { start: Math.max(covered_from, firstBucket(report, now)), end: start }
  const windows = [...windowsOf(report, doubted, older), ...chunk({ start, end }, window_ms)]
  return { windows, is_deep }
}

/** As few windows as hold all the doubted buckets of the range. */
function windowsOf({ bucket_ms, window_ms }: Report, doubted: Doubted, range: Range): Range[] {
  const windows: { start: number; end: number }[] = []
  const reachable = doubted.filter(({ bucket_start, is_unplaced }) => {
    return bucket_start + (is_unplaced ? window_ms : bucket_ms) > range.start
  })
  for (const { bucket_start, is_unplaced } of reachable.sort(
    (a, b) => a.bucket_start - b.bucket_start,
  )) {
    const start = Math.max(floorTo(bucket_start, bucket_ms), range.start)
    const end = Math.min(start + (is_unplaced ? window_ms : bucket_ms), range.end)
    const last = windows.at(-1)
    if (last && end - last.start <= window_ms) last.end = Math.max(last.end, end)
    else if (start < end) windows.push({ start: Math.max(start, last?.end ?? start), end })
  }
  return windows.filter(({ start, end }) => start < end)
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

/** The last instant from which on the month before was to be read again; a sleeping machine catches up. */
function latestMonthRead(now: number): number {
  const today = new Date(now)
  const [year, month] = [today.getUTCFullYear(), today.getUTCMonth()]
  const due = [-1, 0].flatMap((months) =>
    MONTH_READ_DAYS.map((day) => Date.UTC(year, month + months, day)),
  )
  return Math.max(...due.filter((at) => at <= now))
}

/** Where the month begins that the latest of these reads is about. */
function monthBefore(now: number): number {
  const read = new Date(latestMonthRead(now))
  return Date.UTC(read.getUTCFullYear(), read.getUTCMonth() - 1, 1)
}

import { type Period, reportRange } from '../period.ts'
import type { Db } from '../store/schema.ts'
import { type Coverage, listCoverage } from './coverage.ts'
import { settlePending } from './pending.ts'
import { sumEntries, sumExcludedEntries, sumSuperseded } from './spend-entries.ts'
import { type Groups, isByHour, matches, mergeGroups, type SpendQuery } from './spend-query.ts'
import { type Segment, sumSegment } from './spend-reports.ts'
import { addSums, noSums, type Sums } from './sums.ts'

/** One stretch of one provider's days and the view it was read from. */
export type UsedView = {
  readonly provider: string
  readonly connection: string | null
  readonly view: 'billed' | 'metered' | 'telemetry'
  readonly start: number
  readonly end: number
}

/** A provider that cannot be read: from then on only what others saw of it counts. */
export type Unread = { readonly provider: string; readonly since: number }

export type SpendResult = {
  readonly total: Sums
  readonly groups: Groups
  /** What is in the total and in no group: the least of very many. */
  readonly rest: Sums | undefined
  readonly views: readonly UsedView[]
  /** Up to here every connected source has delivered; null without any. */
  readonly complete_through: number | null
  readonly unread: readonly Unread[]
  /** What telemetry saw of providers whose own reports were used; not part of the total. */
  readonly excluded: readonly { readonly provider: string; readonly requests: number }[]
  /** What lower sources told of requests that are counted from a better one; not part of the total. */
  readonly superseded: { readonly entries: number; readonly nanos: bigint }
  /** The list value of telemetry that seats pay for; not part of the total. */
  readonly subscription_nanos: bigint
}

/** Dimensions that only telemetry, logs and the proxy know. */
const ENTRY_ONLY: readonly string[] = ['session', 'client', 'project', 'wrapped_key']

/**
 * Sums cost and usage of a period. For each provider and UTC day exactly one view counts: what the
 * provider billed where that is complete, else usage at catalog prices; providers without an admin
 * connection are seen through ledger entries. Nothing is added across views of the same money.
 */
export async function sumSpend(db: Db, query: SpendQuery): Promise<SpendResult> {
  await settlePending(db, reportRange(query.period))
  const coverage = (await listCoverage(db, query.now)).filter((one) =>
    matches(query.filter.provider, one.provider),
  )
  const is_entry_only = needsEntries(query)
  const reports = !is_entry_only && matches(query.filter.source, 'admin_api') ? coverage : []
  const segments = reports.flatMap((one) => listSegments(one, query))
  const groups: Groups = new Map()
  for (const segment of segments) mergeGroups(groups, await sumSegment(db, query, segment))
  // With a basis asked for, entries would mix estimates into what the provider billed.
  const spoken = reports.flatMap(({ provider, speaks_from, speaks_until }) =>
    speaks_from === null ? [] : [{ provider, from: speaks_from, until: speaks_until }],
  )
  const now = query.now ?? Number.MAX_SAFE_INTEGER
  const api = { spoken, billing_mode: 'api', now } as const
  const entries = query.basis === 'billed' ? undefined : await sumEntries(db, query, api)
  if (entries) mergeGroups(groups, entries.groups)
  const total = noSums()
  if (entries?.rest) addSums(total, entries.rest)
  for (const { sums } of groups.values()) addSums(total, sums)
  return {
    total,
    groups,
    rest: entries?.rest,
    views: [...segments.map(viewOf), ...entryViews(groups, query)],
    complete_through: completeThrough(coverage, query.period),
    unread: listUnread(reports, query.period),
    excluded: await sumExcludedEntries(db, query, api),
    superseded: await sumSuperseded(db, query),
    subscription_nanos: await sumSubscriptionEntries(db, query, now),
  }
}

async function sumSubscriptionEntries(db: Db, query: SpendQuery, now: number): Promise<bigint> {
  const of = { spoken: [], billing_mode: 'subscription', now } as const
  const { groups } = await sumEntries(db, { ...query, group_by: [] }, of)
  return [...groups.values()].reduce((sum, { sums }) => sum + sums.metered_nanos, 0n)
}

function needsEntries({ group_by, filter }: SpendQuery): boolean {
  return [...group_by, ...Object.keys(filter)].some(
    (name) => ENTRY_ONLY.includes(name) || name.startsWith('tag:'),
  )
}

/** Cuts the period where the view changes. */
function listSegments(coverage: Coverage, query: SpendQuery): Segment[] {
  const { period, basis } = query
  const { days } = period
  const is_hourly = isByHour(query)
  const range = is_hourly || !days ? { start: period.start_at, end: period.end_at } : days
  const segment = (view: Segment['view'], start: number, end: number): Segment[] =>
    start < end ? [{ coverage, view, start, end, is_hourly }] : []
  const { billed } = coverage
  if (basis === 'metered' || is_hourly) return segment('metered', range.start, range.end)
  if (basis === 'billed') return segment('billed', range.start, range.end)
  if (!billed) return segment('metered', range.start, range.end)
  const from = clamp(billed.from, range)
  const until = clamp(billed.until, range)
  return [
    ...segment('metered', range.start, from),
    ...segment('billed', from, until),
    ...segment('metered', until, range.end),
  ]
}

function clamp(at: number, { start, end }: { start: number; end: number }): number {
  return Math.min(Math.max(at, start), end)
}

/** Live connections of which a part of the period is missing, because they cannot be read any more. */
function listUnread(reports: readonly Coverage[], { start_at, end_at }: Period): Unread[] {
  return reports.flatMap(({ provider, is_removed, speaks_until }) =>
    is_removed || speaks_until === null || speaks_until >= end_at
      ? []
      : [{ provider, since: Math.max(speaks_until, start_at) }],
  )
}

function viewOf({ coverage, view, start, end }: Segment): UsedView {
  return { provider: coverage.provider, connection: coverage.name, view, start, end }
}

function entryViews(groups: Groups, { period }: SpendQuery): UsedView[] {
  const providers = new Set<string>()
  for (const group of groups.values())
    for (const provider of group.entry_providers) providers.add(provider)
  return [...providers].sort().map((provider) => ({
    provider,
    connection: null,
    view: 'telemetry' as const,
    start: period.start_at,
    end: period.end_at,
  }))
}

function completeThrough(coverage: readonly Coverage[], period: Period): number | null {
  // What was disconnected delivers no more, and holds nothing back.
  const live = coverage.filter(({ is_removed }) => !is_removed)
  const ends = (live.length > 0 ? live : coverage).map(({ billed, metered }) =>
    Math.max(billed?.until ?? 0, metered?.until ?? 0),
  )
  if (ends.length === 0) return null
  return Math.min(...ends, reportRange(period).end)
}

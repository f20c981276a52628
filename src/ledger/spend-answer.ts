import { isoTime, utcDate } from '../clock.ts'
import { divideHalfEven, usdFromNanos } from '../money.ts'
import { type Period, previousPeriod } from '../period.ts'
import type { Db } from '../store/schema.ts'
import { loadNames, type Names, resolveFilter } from './names.ts'
import { type SpendResult, sumSpend, type UsedView } from './spend.ts'
import { listSpendNotes, sumSubscriptions } from './spend-notes.ts'
import { type Basis, type Group, type GroupBy, isTimeGroup } from './spend-query.ts'
import { costOf, noSums, type Sums } from './sums.ts'

export type SpendRequest = {
  readonly period: Period
  readonly group_by: readonly GroupBy[]
  /** Names or ids. */
  readonly filter: Readonly<Record<string, readonly string[]>>
  readonly basis: Basis
  readonly compare: boolean
  readonly limit: number
  readonly now: number
}

export type SpendTotal = {
  readonly cost_usd: string
  /** Absent where no source counts requests. */
  readonly requests?: number | undefined
  readonly input_tokens: number
  readonly cached_input_tokens: number
  readonly cache_write_tokens: number
  readonly output_tokens: number
  readonly unpriced_requests: number
}

/**
 * Names and ids of the groups (`provider_key`, `provider_key_id`), the counts of a total, `cost_usd`,
 * `share_percent`, `change_percent`; what is not known is absent.
 */
export type SpendRow = Readonly<Record<string, string | number>>

export type Previous = {
  readonly from: string
  readonly to: string
  readonly cost_usd: string
  readonly change_percent?: number | undefined
}

/** A total, its rows, and everything needed to know what it is and what it is not. */
export type SpendAnswer = {
  readonly period: {
    readonly name: string
    readonly from: string
    readonly to: string
    readonly timezone: string
  }
  readonly total: SpendTotal
  readonly rows: readonly SpendRow[]
  readonly basis: 'billed' | 'metered' | 'mixed' | 'none'
  readonly billed_usd: string
  readonly metered_usd: string
  readonly subscription_list_value_usd?: string | undefined
  /** Told by several sources and counted from the best: in no total. */
  readonly superseded_usd?: string | undefined
  readonly previous?: Previous | undefined
  readonly complete_through?: string | undefined
  /** For each source and stretch: provider, connection, basis, from, to. */
  readonly coverage: readonly Readonly<Record<string, string>>[]
  readonly notes: readonly string[]
  readonly as_of: string
  readonly has_more: boolean
}

/** @throws UserError for a filter value that nothing stored has. */
export async function answerSpend(db: Db, request: SpendRequest): Promise<SpendAnswer> {
  const { period, group_by, basis, compare, limit, now } = request
  const names = await loadNames(db)
  const filter = await resolveFilter(db, names, request.filter)
  const query = { period, group_by, filter, basis, now }
  const result = await sumSpend(db, query)
  const before = compare
    ? await sumSpend(db, {
        ...query,
        period: previousPeriod(period),
        sessions: sessionsOf(result, group_by),
      })
    : undefined
  const groups = group_by.length > 0 ? ordered(result, group_by) : []
  // Two views of the same seats: the larger one saw more of them.
  let subscriptions = await sumSubscriptions(db, query)
  if (result.subscription_nanos > subscriptions) subscriptions = result.subscription_nanos
  return {
    period: { name: period.label, ...edgesOf(period), timezone: period.zone },
    total: totalOf(result.total),
    rows: groups
      .slice(0, limit)
      .map((group) => rowOf(group, group_by, names, result.total, before)),
    basis: basisOf(result.total, result.views),
    billed_usd: usdFromNanos(result.total.billed_nanos),
    metered_usd: usdFromNanos(result.total.metered_nanos),
    ...(subscriptions > 0n ? { subscription_list_value_usd: usdFromNanos(subscriptions) } : {}),
    ...(result.superseded.entries > 0
      ? { superseded_usd: usdFromNanos(result.superseded.nanos) }
      : {}),
    ...(before ? { previous: previousOf(before, result, previousPeriod(period)) } : {}),
    ...(result.complete_through === null
      ? {}
      : { complete_through: isoTime(result.complete_through) }),
    coverage: result.views.map(coverageOf),
    notes: await listSpendNotes(db, query, result, {
      subscriptions,
      omitted: groups.slice(limit),
      now,
    }),
    as_of: isoTime(now),
    has_more: groups.length > limit || result.rest !== undefined,
  }
}

function totalOf(sums: Sums): SpendTotal {
  return {
    cost_usd: usdFromNanos(costOf(sums)),
    ...(sums.requests === 0 && sums.uncounted_rows > 0 ? {} : { requests: sums.requests }),
    input_tokens: sums.input_tokens,
    cached_input_tokens: sums.cached_input_tokens,
    cache_write_tokens: sums.cache_write_tokens,
    output_tokens: sums.output_tokens,
    unpriced_requests: sums.unpriced_requests,
  }
}

/** The sessions that a comparison must know of, however little they cost before. */
function sessionsOf({ groups }: SpendResult, group_by: readonly GroupBy[]): string[] {
  const i = group_by.indexOf('session')
  return i < 0 ? [] : [...groups.values()].flatMap(({ keys }) => keys[i] ?? [])
}

/** Times in their order, everything else by cost; ties by name, so that the order is always the same. */
function ordered({ groups }: SpendResult, group_by: readonly GroupBy[]): Group[] {
  const time = group_by.findIndex(isTimeGroup)
  const byTime = (a: Group, b: Group) =>
    time < 0 ? 0 : (a.keys[time] ?? '').localeCompare(b.keys[time] ?? '')
  const byCost = (a: Group, b: Group) => {
    const difference = costOf(b.sums) - costOf(a.sums)
    return difference > 0n ? 1 : difference < 0n ? -1 : 0
  }
  const byTokens = (a: Group, b: Group) => b.sums.input_tokens - a.sums.input_tokens
  const byName = (a: Group, b: Group) => a.keys.join().localeCompare(b.keys.join())
  return [...groups.values()].sort(
    (a, b) => byTime(a, b) || byCost(a, b) || byTokens(a, b) || byName(a, b),
  )
}

function rowOf(
  { keys, sums }: Group,
  group_by: readonly GroupBy[],
  names: Names,
  total: Sums,
  before: SpendResult | undefined,
): SpendRow {
  const fields: Record<string, string> = {}
  for (const [i, group] of group_by.entries()) {
    const id = keys[i] ?? ''
    const name = isTimeGroup(group) ? id : names.name(group, id)
    fields[group] = name
    if (name !== id && id !== '') fields[`${group}_id`] = id
  }
  const { cost_usd, requests, ...counts } = totalOf(sums)
  const has_time = group_by.some(isTimeGroup)
  return {
    ...fields,
    cost_usd,
    ...named('share_percent', percent(costOf(sums), costOf(total))),
    ...(before && !has_time
      ? named('change_percent', changeOf(sums, before.groups.get(JSON.stringify(keys))?.sums))
      : {}),
    ...named('requests', requests),
    ...counts,
  }
}

function changeOf(sums: Sums, before: Sums | undefined): number | undefined {
  const was = costOf(before ?? noSums())
  if (was === 0n && costOf(sums) === 0n) return 0
  // Of a credit there is no growth to speak of.
  return was < 0n ? undefined : percent(costOf(sums) - was, was)
}

function previousOf(before: SpendResult, { total }: SpendResult, period: Period) {
  return {
    ...edgesOf(period),
    cost_usd: usdFromNanos(costOf(before.total)),
    ...named('change_percent', changeOf(total, before.total)),
  }
}

function named<Name extends string>(name: Name, value: number | undefined) {
  return (value === undefined ? {} : { [name]: value }) as { [_ in Name]?: number }
}

/** With one decimal, ties to even; undefined of nothing. */
function percent(part: bigint, whole: bigint): number | undefined {
  if (whole === 0n) return undefined
  const tenths = divideHalfEven(magnitudeOf(part) * 1_000n, magnitudeOf(whole))
  return ((part < 0n === whole < 0n ? 1 : -1) * Number(tenths)) / 10 || 0
}

function magnitudeOf(nanos: bigint): bigint {
  return nanos < 0n ? -nanos : nanos
}

function basisOf({ billed_nanos, metered_nanos }: Sums, views: readonly UsedView[]) {
  if (billed_nanos !== 0n && metered_nanos !== 0n) return 'mixed'
  if (billed_nanos !== 0n) return 'billed'
  if (metered_nanos !== 0n) return 'metered'
  const used = new Set(views.map(({ view }) => (view === 'billed' ? 'billed' : 'metered')))
  if (used.size === 0) return 'none'
  return used.size > 1 ? 'mixed' : used.has('billed') ? 'billed' : 'metered'
}

function edgesOf({ days, start_at, end_at }: Period): { from: string; to: string } {
  if (days) return { from: utcDate(days.start), to: utcDate(days.end) }
  return { from: isoTime(start_at), to: isoTime(end_at) }
}

function coverageOf({ provider, connection, view, start, end }: UsedView) {
  const edges = { from: edgeText(start), to: edgeText(end) }
  return { provider, ...(connection === null ? {} : { connection }), basis: view, ...edges }
}

function edgeText(at: number): string {
  const text = isoTime(at)
  return text.endsWith('T00:00:00.000Z') ? text.slice(0, 10) : text
}

import { DAY_MS, floorTo, isoTime, utcDate } from '../clock.ts'
import { monthStart, type Period, weekStart } from '../period.ts'
import { addSums, type Sums } from './sums.ts'

/** What a total can be broken out by. `tag:<key>` is a dimension too. */
export const GROUPS = [
  'provider',
  'model',
  'day',
  'hour',
  'week',
  'month',
  'wrapped_key',
  'provider_key',
  'workspace',
  'user',
  'project',
  'session',
  'client',
  'source',
] as const

export type GroupBy = (typeof GROUPS)[number] | `tag:${string}`

/** Ids, never names. An empty list matches nothing. */
export type SpendFilter = Readonly<Partial<Record<GroupBy, readonly string[]>>>

export type Basis = 'best' | 'billed' | 'metered'

export type SpendQuery = {
  readonly period: Period
  readonly group_by: readonly GroupBy[]
  readonly filter: SpendFilter
  readonly basis: Basis
  /** Metrics that came in shortly before do not count yet; absent: they do. */
  readonly now?: number
  /** Told apart whatever they cost, where there are more sessions than an answer can show. */
  readonly sessions?: readonly string[]
}

/** Partial sums by group. `keys` are ids in the order of `group_by`; `''` is none. */
export type Groups = Map<string, Group>
export type Group = {
  readonly keys: readonly string[]
  readonly sums: Sums
  /** Providers whose ledger entries are in it. */
  readonly entry_providers: ReadonlySet<string>
}

/** Whether the answer is made of hours, which billed costs do not have. */
export function isByHour({ period, group_by }: SpendQuery): boolean {
  return group_by.includes('hour') || period.days === null
}

export function addGroup(groups: Groups, { keys, sums, entry_providers }: Group): void {
  const id = JSON.stringify(keys)
  const known = groups.get(id)
  if (known) addSums(known.sums, sums)
  groups.set(id, {
    keys,
    sums: known?.sums ?? sums,
    entry_providers: known ? known.entry_providers.union(entry_providers) : entry_providers,
  })
}

export function mergeGroups(groups: Groups, more: Groups): void {
  for (const group of more.values()) addGroup(groups, group)
}

export function matches(wanted: readonly string[] | undefined, value: string): boolean {
  return wanted === undefined || wanted.includes(value)
}

export type TimeGroup = 'hour' | 'day' | 'week' | 'month'

export function isTimeGroup(group: string): group is TimeGroup {
  return ['hour', 'day', 'week', 'month'].includes(group)
}

/** The name of the bucket that a date (its UTC midnight) or hour falls into: sortable text. */
export function timeKey(group: TimeGroup, at: number): string {
  if (group === 'hour') return `${isoTime(at).slice(0, 13)}:00Z`
  const date = floorTo(at, DAY_MS)
  if (group === 'month') return utcDate(monthStart(date, 0)).slice(0, 7)
  return utcDate(group === 'week' ? weekStart(date) : date)
}

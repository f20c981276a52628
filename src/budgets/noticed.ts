import { DAY_MS } from '../clock.ts'
import { loadNames } from '../ledger/names.ts'
import { sumSpend } from '../ledger/spend.ts'
import type { GroupBy } from '../ledger/spend-query.ts'
import { costOf } from '../ledger/sums.ts'
import type { Nanos } from '../money.ts'
import { dateOf, type Period } from '../period.ts'
import type { Db } from '../store/schema.ts'
import type { Subject } from './admission.ts'
import type { Budget } from './budget.ts'
import { type Scope, scopeMatcher, tagOf } from './scope.ts'
import { rollingMs } from './window.ts'

/**
 * What all sources together say that a budget's scope cost, by member: the figure of `get_spend`, each
 * request once. It comes after the fact, so it can tell but not stop.
 */
export async function sumNoticed(
  db: Db,
  budget: Budget,
  range: { readonly start_at: number; readonly end_at: number },
): Promise<Map<string, Nanos>> {
  const group = groupOf(budget.scope)
  const names = await loadNames(db)
  const query = { period: periodOf(budget, range), basis: 'best' } as const
  if (group === null || !budget.scope.value.includes('*')) {
    const filter =
      group === null ? {} : { [group]: idsOf(budget.scope, names.ids(group, budget.scope.value)) }
    const { total } = await sumSpend(db, { ...query, group_by: [], filter })
    return new Map([['', costOf(total)]])
  }
  const result = await sumSpend(db, { ...query, group_by: [group], filter: {} })
  const match = scopeMatcher(budget.scope)
  const sums = new Map<string, Nanos>()
  for (const { keys, sums: cost } of result.groups.values()) {
    const id = keys[0] ?? ''
    const member =
      match(subjectWith(budget.scope, id)) ??
      match(subjectWith(budget.scope, names.name(group, id)))
    if (member !== undefined) sums.set(member, (sums.get(member) ?? 0n) + costOf(cost))
  }
  return sums
}

/** One value is asked for alone: of very many groups the least are not listed. */
function idsOf({ kind, value }: Scope, named: readonly string[]): string[] {
  return [...new Set([kind === 'tag' ? tagOf(value).value : value, ...named])]
}

function groupOf({ kind, value }: Scope): GroupBy | null {
  if (kind === 'all') return null
  return kind === 'tag' ? `tag:${tagOf(value).key}` : kind
}

/** Whole days go to the providers' UTC days of the same dates, as everywhere. */
function periodOf(
  budget: Budget,
  { start_at, end_at }: { start_at: number; end_at: number },
): Period {
  const { zone, period } = budget
  const label = `budget ${budget.name}`
  if (rollingMs(period) !== undefined) return { label, start_at, end_at, zone, days: null }
  const start = dateOf(start_at, zone)
  return { label, start_at, end_at, zone, days: { start, end: dateOf(end_at - 1, zone) + DAY_MS } }
}

function subjectWith({ kind, value }: Scope, id: string): Subject {
  const own = id === '' ? null : id
  const { key } = tagOf(value)
  return {
    provider: kind === 'provider' ? id : '',
    model: kind === 'model' ? id : '',
    wrapped_key: kind === 'wrapped_key' ? own : null,
    workspace: kind === 'workspace' ? own : null,
    user: kind === 'user' ? own : null,
    session: kind === 'session' ? own : null,
    tags: kind === 'tag' && own !== null ? { [key]: id } : {},
  }
}

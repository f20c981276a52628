import { type BudgetReport, describeUse, listBudgetUses } from '../budgets/report.ts'
import { formatUsd, nanosFromUsd } from '../money.ts'
import type { Db } from '../store/schema.ts'

/** Blocking budgets that are used up, and those that have passed the last threshold before that. */
export async function listBudgetProblems(db: Db, now: number): Promise<string[]> {
  const uses = await listBudgetUses(db, now, { action: 'block' })
  return uses.map((use) => describeUse(use, now)).flatMap(problemOf)
}

function problemOf(budget: BudgetReport): string[] {
  const { state, resets_at, used_percent } = budget
  const name = budget.member ? `"${budget.name}" (${budget.member})` : `"${budget.name}"`
  const spent = nanosFromUsd(budget.spent_usd) + nanosFromUsd(budget.held_usd)
  const used = `${formatUsd(spent)} of ${formatUsd(budget.limit_usd)}`
  const next = 'check_budget tells more, set_budget raises it.'
  if (state === 'ok') return []
  if (state === 'near')
    return [
      `The budget ${name} is at ${used_percent} % (${used}); at 100 % the proxy refuses what it binds. ${next}`,
    ]
  const until = resets_at === null ? '' : ` until ${resets_at}`
  return [
    `The budget ${name} is used up (${used}): the proxy refuses what it binds${until}. ${next}`,
  ]
}

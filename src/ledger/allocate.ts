import type { CostComponent } from './bucket.ts'

/** What a report row may leave open and usage can fill in, and what both sides are matched by. */
export const OPEN_DIMENSIONS = ['model', 'api_key', 'workspace', 'user'] as const
const MATCHED_DIMENSIONS = [
  ...OPEN_DIMENSIONS,
  'service_tier',
  'context_window',
  'inference_geo',
] as const

type MatchedDimension = (typeof MATCHED_DIMENSIONS)[number]
/** null: the report does not break this out. */
export type CellDimensions = Readonly<Record<MatchedDimension, string | null>>

export type UsageCell = {
  readonly dims: CellDimensions
  /** How much of the component this cell used, in tokens or units. */
  weight(component: CostComponent): number
}

export type CostCell = {
  readonly dims: CellDimensions
  readonly component: CostComponent
  readonly nanos: bigint
}

export type Share = {
  readonly model: string
  readonly api_key: string
  readonly workspace: string
  readonly user: string
  readonly nanos: bigint
  /** Whether a dimension of it was worked out and not reported. */
  readonly is_allocated: boolean
}

/**
 * Returns a function that gives each cost a place. A cost whose report leaves dimensions open is
 * split over the usage that matches it in everything both sides report, in proportion to the tokens
 * or units of its own component. Shares sum to the cost exactly (largest remainder); they are exact
 * in themselves wherever one unit price holds within the match. What nothing matches stays open: `''`.
 */
export function createAllocator(usage: readonly UsageCell[]): (cost: CostCell) => Share[] {
  const indexes = new Map<string, Map<string, UsageCell[]>>()
  return function allocate(cost) {
    const open = OPEN_DIMENSIONS.filter((name) => cost.dims[name] === null)
    if (open.length === 0) return [share(cost, cost.dims, cost.nanos, false)]
    const close = weigh(cost, listMatches(cost))
    const weighted = close.length > 0 ? close : weigh(cost, listLooseMatches(cost))
    if (weighted.length === 0) return [share(cost, cost.dims, cost.nanos, false)]
    const parts = split(
      cost.nanos,
      weighted.map(({ weight }) => BigInt(weight)),
    )
    return weighted.map(({ cell }, i) =>
      share(
        cost,
        cell.dims,
        parts[i] ?? 0n,
        open.some((name) => cell.dims[name] !== null),
      ),
    )
  }

  function listMatches({ dims }: CostCell): readonly UsageCell[] {
    const reported = MATCHED_DIMENSIONS.filter((name) => dims[name] !== null)
    const signature = reported.join()
    const index = indexes.get(signature) ?? indexUsage(reported)
    indexes.set(signature, index)
    return index.get(keyOf(dims, reported)) ?? []
  }

  /**
   * Usage of another report generation breaks out less than the cost does; what it leaves open is no
   * contradiction. The model has to be right all the same.
   */
  function listLooseMatches({ dims }: CostCell): readonly UsageCell[] {
    const reported = MATCHED_DIMENSIONS.filter((name) => dims[name] !== null)
    return usage.filter((cell) =>
      reported.every(
        (name) => cell.dims[name] === dims[name] || (cell.dims[name] === null && name !== 'model'),
      ),
    )
  }

  function indexUsage(reported: readonly MatchedDimension[]): Map<string, UsageCell[]> {
    const index = new Map<string, UsageCell[]>()
    for (const cell of usage) {
      // A dimension that usage does not report cannot tell cells apart.
      if (reported.some((name) => cell.dims[name] === null)) continue
      const key = keyOf(cell.dims, reported)
      const cells = index.get(key)
      if (cells) cells.push(cell)
      else index.set(key, [cell])
    }
    return index
  }
}

function weigh({ component }: CostCell, cells: readonly UsageCell[]) {
  return cells
    .map((cell) => ({ cell, weight: cell.weight(component) }))
    .filter(({ weight }) => weight > 0)
}

function keyOf(dims: CellDimensions, names: readonly MatchedDimension[]): string {
  return JSON.stringify(names.map((name) => dims[name]))
}

function share(
  cost: CostCell,
  filled: CellDimensions,
  nanos: bigint,
  is_allocated: boolean,
): Share {
  const value = (name: (typeof OPEN_DIMENSIONS)[number]) => cost.dims[name] ?? filled[name] ?? ''
  return {
    model: value('model'),
    api_key: value('api_key'),
    workspace: value('workspace'),
    user: value('user'),
    nanos,
    is_allocated,
  }
}

/** Parts in proportion to the weights that sum to the amount; what rounding leaves goes to the largest remainders. */
export function split(amount: bigint, weights: readonly bigint[]): bigint[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0n)
  const sign = amount < 0n ? -1n : 1n
  const magnitude = amount * sign
  const parts = weights.map((weight) => (magnitude * weight) / total)
  const left = magnitude - parts.reduce((sum, part) => sum + part, 0n)
  const order = weights
    .map((weight, i) => ({ i, remainder: (magnitude * weight) % total }))
    .sort((a, b) => (b.remainder > a.remainder ? 1 : b.remainder < a.remainder ? -1 : a.i - b.i))
  for (const { i } of order.slice(0, Number(left))) parts[i] = (parts[i] ?? 0n) + 1n
  return parts.map((part) => part * sign)
}

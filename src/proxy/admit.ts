import type { AdmitRequest, BudgetState, Gate } from '../budgets/admission.ts'
import { isoTime } from '../clock.ts'
import { formatUsd } from '../money.ts'
import { isObject, valueAt } from '../providers/wire.ts'
import { affordableCap, type Bound, withCap } from './bound.ts'
import { setMember } from './json-bytes.ts'
import type { Prepared } from './prepare.ts'
import { Refusal } from './refusal.ts'

export type Admitted = {
  readonly hold_id: string | null
  readonly bound: Bound | null
  /** The answer's limit, where the budgets hold no more than that. */
  readonly clamped_to: number | null
}

/** A limit below this is refused by some providers, and worth nothing to anyone. */
const CLAMP_TOKENS_MIN = 16

/** @throws Refusal when a budget that binds cannot hold the most that the request can cost. */
export async function admitRequest(
  gate: Gate,
  prepared: Prepared,
  request: Omit<AdmitRequest, 'bound_nanos'>,
  bound: Bound | null,
): Promise<Admitted> {
  const first = await gate.admit({ ...request, bound_nanos: bound?.nanos ?? null })
  if (first.kind === 'admitted') return { hold_id: first.hold_id, bound, clamped_to: null }
  const cap = bound && clampTo(prepared, bound, first)
  if (!bound || cap === null) throw refusalOf(first, prepared, bound)
  const smaller = withCap(bound, cap, prepared.ask)
  const second = await gate.admit({ ...request, bound_nanos: smaller.nanos })
  if (second.kind === 'denied') throw refusalOf(second, prepared, smaller)
  return { hold_id: second.hold_id, bound: smaller, clamped_to: cap }
}

/** The bytes with the limit that was held for, under every name that the client used for it. */
export function clampBytes(bytes: Buffer, prepared: Prepared, cap: number | null): Buffer {
  if (cap === null) return bytes
  return capPaths(prepared).reduce((edited, path) => setMember(edited, path, String(cap)), bytes)
}

type Denied = Extract<Awaited<ReturnType<Gate['admit']>>, { kind: 'denied' }>

/** The limit that the budgets can still hold, where the key wants less rather than nothing. */
function clampTo({ key, api, ask, body }: Prepared, bound: Bound, denied: Denied): number | null {
  if (key.on_limit !== 'clamp' || denied.reason !== 'budget_exceeded') return null
  if (!api || api.caps.length === 0 || !body.is_editable) return null
  const cap = affordableCap(bound, denied.affordable_nanos)
  const now = ask.output_tokens_max ?? Number.POSITIVE_INFINITY
  return cap !== null && cap >= CLAMP_TOKENS_MIN && cap < now ? cap : null
}

/** The names that the client used, or else the one most wanted, in an object that is there already. */
function capPaths({ api, body }: Prepared): readonly (readonly string[])[] {
  const caps = api?.caps ?? []
  const present = caps.filter((path) => (valueAt(body.value, ...path) ?? null) !== null)
  if (present.length > 0) return present
  const near = caps.find((path) => isObject(valueAt(body.value, ...path.slice(0, -1))))
  return near ? [near] : caps.slice(0, 1)
}

function refusalOf({ reason, budget }: Denied, { ask }: Prepared, bound: Bound | null): Refusal {
  if (reason === 'unavailable')
    return new Refusal('unavailable', 'Outlay cannot hold money for this request just now.')
  if (reason === 'unbounded')
    return new Refusal(
      'model_unpriced',
      `${budget ? `Budget "${budget.name}"` : 'A budget'} blocks, and nothing bounds what this request can cost: ${ask.batch ? UNBOUNDED_BATCH : UNBOUNDED}.`,
    )
  const text = budget ? budgetText(budget, bound) : 'A budget is exhausted.'
  return new Refusal('budget_exceeded', text)
}

const UNBOUNDED =
  'the model has no known price, or a tool in it has no limit of uses or a fee that nothing counts'
const UNBOUNDED_BATCH =
  'a batch must be of one model with a known price, and its file must have been uploaded through Outlay under the prices of today'

function budgetText(
  { name, limit_nanos, spent_nanos, held_nanos, resets_at }: BudgetState,
  bound: Bound | null,
) {
  const most = bound ? `, which can cost up to ${formatUsd(bound.nanos)}` : ''
  const held = held_nanos > 0n ? ` and ${formatUsd(held_nanos)} held for running requests` : ''
  const reset = resets_at === null ? 'It does not reset.' : `It resets ${isoTime(resets_at)}.`
  return `Budget "${name}" cannot hold this request${most}: ${formatUsd(spent_nanos)} spent${held} of ${formatUsd(limit_nanos)}. ${reset}`
}

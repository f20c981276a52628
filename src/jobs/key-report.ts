import type { App } from '../app.ts'
import { findKeyUse, subjectOfKey } from '../budgets/answer.ts'
import { type BudgetUse, describeUse, listBudgetUses } from '../budgets/report.ts'
import { DAY_MS, isoTime } from '../clock.ts'
import { listUpstreamKeys } from '../keys/upstream-key.ts'
import { keyState, listWrappedKeys, type WrappedKey } from '../keys/wrapped-key.ts'
import { sumSpend } from '../ledger/spend.ts'
import { costOf } from '../ledger/sums.ts'
import { type Nanos, usdFromNanos } from '../money.ts'

export type KeyReport = {
  readonly id: string
  readonly name: string
  readonly state: 'active' | 'paused' | 'expired' | 'revoked'
  readonly providers: readonly string[]
  readonly models: readonly string[]
  readonly user: string | null
  readonly workspace: string | null
  readonly tags: Readonly<Record<string, string>>
  readonly limits: Readonly<Record<string, number>>
  readonly addresses: readonly string[]
  readonly expires_at: string | null
  readonly last_used_at: string | null
  readonly created_at: string
  readonly cost_usd_30d: string
  readonly requests_30d: number
  /** Of budgets that name the key, its user, its workspace or its tags, as the key itself has used them. */
  readonly budgets: readonly {
    readonly name: string
    readonly limit_usd: string
    readonly spent_usd: string
    readonly period: string
    readonly action: string
  }[]
  /** What a careful owner would look at. */
  readonly flags: readonly string[]
}

export type KeysReport = {
  readonly keys: readonly KeyReport[]
  readonly provider_keys: readonly {
    readonly provider: string
    readonly name: string
    readonly key: string
    readonly workspace: string | null
  }[]
  readonly as_of: string
  readonly has_more: boolean
  readonly left_out: number
}

const IDLE_MS = 30 * DAY_MS
/** As many models used as patterns would need to be narrowed to. */
const FEW_MODELS = 3

export async function reportKeys(
  app: App,
  { limit, with_revoked }: { limit: number; with_revoked: boolean },
): Promise<KeysReport> {
  const { db, clock } = app
  const now = clock.now()
  const all = await listWrappedKeys(db, { with_revoked })
  const keys = all.slice(0, limit)
  const use = await sumKeyUse(app, now)
  const budgets = await listBudgetUses(db, now, { subjects: keys.map(subjectOfKey) })
  const upstreams = await listUpstreamKeys(db)
  return {
    keys: keys.map((key) => reportOf(key, { now, use: use.get(key.id), budgets })),
    provider_keys: upstreams.map(({ provider, name, fingerprint, workspace }) => ({
      provider,
      name,
      key: fingerprint,
      workspace,
    })),
    as_of: isoTime(now),
    has_more: all.length > limit,
    left_out: Math.max(0, all.length - limit),
  }
}

type KeyUse = { cost: Nanos; requests: number; readonly models: Set<string> }
type Context = {
  readonly now: number
  readonly use: KeyUse | undefined
  readonly budgets: readonly BudgetUse[]
}

function reportOf(key: WrappedKey, { now, use, budgets }: Context): KeyReport {
  const { requests_per_minute, tokens_per_minute, concurrent_requests } = key
  const limits = { requests_per_minute, tokens_per_minute, concurrent_requests }
  const binding = budgets.flatMap((one) => findKeyUse(one, key) ?? [])
  const own = binding.filter(({ budget }) => budget.scope.kind !== 'all')
  return {
    id: key.id,
    name: key.name,
    state: keyState(key, now),
    providers: key.providers,
    models: key.models,
    user: key.user,
    workspace: key.workspace,
    tags: key.tags,
    limits: Object.fromEntries(
      Object.entries(limits).filter((pair): pair is [string, number] => pair[1] !== null),
    ),
    addresses: key.addresses,
    expires_at: timeOf(key.expires_at),
    last_used_at: timeOf(key.last_used_at),
    created_at: isoTime(key.created_at),
    cost_usd_30d: usdFromNanos(use?.cost ?? 0n),
    requests_30d: use?.requests ?? 0,
    budgets: own.map((one) => {
      const { name, limit_usd, spent_usd, period, action } = describeUse(one, now)
      return { name, limit_usd, spent_usd, period, action }
    }),
    flags: flagsOf(key, use, binding, now),
  }
}

function flagsOf(
  key: WrappedKey,
  use: KeyUse | undefined,
  budgets: readonly BudgetUse[],
  now: number,
): string[] {
  if (keyState(key, now) !== 'active') return []
  const flags: string[] = []
  const seen_at = key.last_used_at ?? key.created_at
  if (now - seen_at >= IDLE_MS)
    flags.push(key.last_used_at === null ? 'never used' : 'idle for 30 days')
  if (!budgets.some(({ budget }) => budget.action === 'block')) flags.push('no blocking budget')
  if (key.expires_at === null) flags.push('no expiry')
  const used = [...(use?.models ?? [])]
  if (key.models.length === 0 && used.length > 0 && used.length <= FEW_MODELS)
    flags.push(`allows every model, used only ${used.sort().join(', ')}`)
  return flags
}

async function sumKeyUse({ db, config }: App, now: number): Promise<Map<string, KeyUse>> {
  const { groups } = await sumSpend(db, {
    period: {
      label: 'last 30 days',
      start_at: now - IDLE_MS,
      end_at: now + 1,
      zone: config.timezone,
      days: null,
    },
    group_by: ['wrapped_key', 'model'],
    filter: { source: ['proxy'] },
    basis: 'best',
  })
  const uses = new Map<string, KeyUse>()
  for (const { keys, sums } of groups.values()) {
    const [id = '', model = ''] = keys
    const use = uses.get(id) ?? { cost: 0n, requests: 0, models: new Set<string>() }
    use.cost += costOf(sums)
    use.requests += sums.requests
    use.models.add(model)
    uses.set(id, use)
  }
  return uses
}

function timeOf(at: number | null): string | null {
  return at === null ? null : isoTime(at)
}

import * as z from 'zod'
import { DAY_MS, floorTo, isoTime } from '../../clock.ts'
import type { Dimensions } from '../../ledger/bucket.ts'
import { nanosFromCents } from '../../money.ts'
import type { Query, Range, Variant } from '../provider.ts'
import {
  Amount,
  Count,
  Currency,
  createRepeats,
  emptyRows,
  fieldsOf,
  hasOtherFields,
  Instant,
  OptionalText,
  type Rows,
  rawOfUnfamiliar,
  readAmount,
  readRow,
} from '../rows.ts'
import {
  componentOf,
  hasNewCounts,
  ID,
  isClosed,
  readPage,
  repeated,
  SERVICE_TIERS,
  TokenFields,
  usageOf,
} from './rows.ts'

/**
 * The Usage and Cost Analytics API (beta): flat rows that know key, person and workspace of every cost.
 * https://platform.claude.com/docs/en/manage-claude/usage-cost-analytics-api
 */
const BETA = { 'anthropic-beta': 'analytics-usage-cost-2026-08-24' }
const FIRST_DAY = Date.parse('2026-01-01T00:00:00Z')
const HISTORY_MS = 365 * DAY_MS
/** At most five: the same for usage and cost, so that their rows meet. */
const DIMENSIONS = ['model', 'api_key_id', 'workspace_id', 'service_tier', 'actor']
const ROWS_PER_PAGE = '1000'

/** Days that the analytics API can answer; older ones belong to the legacy reports. */
export function analyticsFloor(now: number): number {
  return Math.max(FIRST_DAY, floorTo(now - HISTORY_MS, DAY_MS) + DAY_MS)
}

function range(now: number): Range {
  return { start: analyticsFloor(now), end: Number.POSITIVE_INFINITY }
}

export const analyticsUsage: Variant = {
  grouping: 'analytics:v1',
  range,
  refuses: isClosed,
  async read(window, pages) {
    const rows = emptyRows()
    const listNew = createRepeats(ID)
    await pages(query('/v1/organizations/analytics/usage', window, '1h', DIMENSIONS), (body) => {
      const page = readPage(body)
      rows.refreshed_at = refreshedAt(body)
      for (const raw of listNew(page.data, coordinatesOf)) addUsage(rows, raw)
      return page.next
    })
    return rows
  },
}

export const analyticsCost: Variant = {
  grouping: 'analytics:v1',
  range,
  refuses: isClosed,
  async read(window, pages) {
    const rows = emptyRows()
    const listNew = createRepeats(ID)
    const dimensions = [...DIMENSIONS, 'cost_type', 'token_type']
    await pages(query('/v1/organizations/analytics/cost', window, '1d', dimensions), (body) => {
      const page = readPage(body)
      rows.refreshed_at = refreshedAt(body)
      for (const raw of listNew(page.data, coordinatesOf)) addCost(rows, raw)
      return page.next
    })
    return rows
  },
}

/** A row is one bucket and one set of dimensions. */
function coordinatesOf(raw: unknown): string {
  const { starting_at, group } = (raw ?? {}) as { starting_at?: unknown; group?: unknown }
  return JSON.stringify([starting_at, group])
}

function query(path: string, { start, end }: Range, width: string, dimensions: string[]): Query {
  return {
    path,
    headers: BETA,
    params: [
      ['starting_at', isoTime(start)],
      ['ending_at', isoTime(end)],
      ['time_bucket_width', width],
      ...repeated('group_by', dimensions),
      ['order_by', 'time'],
      ['order', 'asc'],
      ['limit', ROWS_PER_PAGE],
    ],
  }
}

const Refreshed = z.object({ data_refreshed_at: z.string().max(40).nullish() })

function refreshedAt(body: unknown): string | null {
  return Refreshed.safeParse(body).data?.data_refreshed_at ?? null
}

const Actor = z.object({
  type: z.string(),
  user_id: OptionalText,
  service_account_id: OptionalText,
  provider: z.looseObject({ type: OptionalText, issuer: OptionalText }).nullish(),
})

const Group = z.object({
  model: OptionalText,
  api_key_id: OptionalText,
  workspace_id: OptionalText,
  service_tier: OptionalText,
  actor: Actor.nullish(),
  cost_type: OptionalText,
  token_type: OptionalText,
})

const UsageFields = TokenFields.extend({
  total_tokens: z.unknown().optional(),
  requests: Count.nullish(),
})

const UsageRow = z.object({
  starting_at: Instant,
  ending_at: z.unknown().optional(),
  group: Group,
  usage: UsageFields,
})

const CostRow = z.object({
  starting_at: Instant,
  ending_at: z.unknown().optional(),
  group: Group,
  cost: z.object({
    amount: Amount,
    list_amount: Amount.nullish(),
    currency: Currency,
  }),
})

const USAGE_FIELDS = fieldsOf(UsageRow)
const COUNT_FIELDS = fieldsOf(UsageFields)
const COST_FIELDS = fieldsOf(CostRow)

function addUsage(rows: Rows, raw: unknown): void {
  const row = readRow(rows, UsageRow, raw, bucketOf(raw))
  if (!row) return
  const is_new =
    hasOtherFields(raw, USAGE_FIELDS) ||
    hasOtherFields(row.usage, COUNT_FIELDS) ||
    hasNewCounts(row.usage) ||
    isNewGroup(row.group)
  rows.usage.push({
    bucket_start: row.starting_at,
    dims: dimensionsOf(row.group),
    usage: usageOf(row.usage, row.usage.requests ?? null),
    ...rawOfUnfamiliar(rows, raw, is_new),
  })
}

function addCost(rows: Rows, raw: unknown): void {
  const row = readRow(rows, CostRow, raw, bucketOf(raw))
  if (!row) return
  const { group, cost } = row
  const { component, is_known } = componentOf(group.cost_type, group.token_type)
  const amount_nanos = readAmount(rows, row.starting_at, cost.amount, nanosFromCents)
  if (amount_nanos === undefined) return
  const is_new = !is_known || hasOtherFields(raw, COST_FIELDS) || isNewGroup(group)
  rows.cost.push({
    bucket_start: row.starting_at,
    dims: {
      ...dimensionsOf(group),
      component,
      ...(is_known ? {} : { other: `${group.cost_type} ${group.token_type}` }),
    },
    amount_nanos,
    list_nanos: listNanos(cost.list_amount),
    currency: cost.currency,
    raw_amount: String(cost.amount).slice(0, 100),
    ...rawOfUnfamiliar(rows, raw, is_new),
  })
}

/** Decimal cents too; only shown beside the amount, so that a bad one does not cost the row. */
function listNanos(list_amount: string | number | null | undefined) {
  if (list_amount == null) return null
  return readAmount(emptyRows(), null, list_amount, nanosFromCents) ?? null
}

const ACTOR_TYPES: ReadonlySet<string | undefined> = new Set([
  undefined,
  'api_actor',
  'federated_actor',
  'service_account_actor',
  'user_actor',
])

function isNewGroup({ service_tier, actor }: z.output<typeof Group>): boolean {
  return !SERVICE_TIERS.has(service_tier) || !ACTOR_TYPES.has(actor?.type)
}

function dimensionsOf(group: z.output<typeof Group>): Dimensions {
  return {
    model: group.model ?? '',
    api_key: group.api_key_id ?? '',
    workspace: group.workspace_id ?? '',
    service_tier: group.service_tier ?? '',
    user: userOf(group.actor),
  }
}

/** A key that acts for itself is no user. */
function userOf(actor: z.output<typeof Actor> | null | undefined): string {
  if (!actor) return ''
  if (actor.user_id) return actor.user_id
  if (actor.service_account_id) return actor.service_account_id
  if (actor.type !== 'federated_actor') return ''
  return `federated:${actor.provider?.issuer ?? actor.provider?.type ?? 'unknown'}`
}

const Started = z.object({ starting_at: Instant })

function bucketOf(raw: unknown): number | null {
  return Started.safeParse(raw).data?.starting_at ?? null
}

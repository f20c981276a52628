import * as z from 'zod'
import { isoTime } from '../../clock.ts'
import type { UpstreamError } from '../../errors.ts'
import { nanosFromCents } from '../../money.ts'
import { contractError } from '../pages.ts'
import type { Get, Query, Range, Variant } from '../provider.ts'
import {
  Amount,
  Currency,
  createRepeats,
  emptyRows,
  fieldsOf,
  hasOtherFields,
  Instant,
  OptionalText,
  type Repeats,
  type Rows,
  rawOfUnfamiliar,
  readAmount,
  readRow,
} from '../rows.ts'
import { findDefaultWorkspace } from './directory.ts'
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
 * The reports before the analytics API: usage by every dimension, cost only by workspace and
 * description. https://platform.claude.com/docs/en/manage-claude/usage-cost-api
 */
const DIMENSIONS = [
  'account_id',
  'api_key_id',
  'context_window',
  'inference_geo',
  'model',
  'service_account_id',
  'service_tier',
  'workspace_id',
]
const FAST_BETA = { 'anthropic-beta': 'fast-mode-2026-02-01' }
const COST_DAYS_PER_PAGE = '31'
const USAGE_HOURS_PER_PAGE = '168'

export const legacyCost: Variant = {
  grouping: 'legacy:v1',
  refuses: isClosed,
  async read(window, pages, get) {
    const rows = emptyRows()
    const listNew = createRepeats(ID)
    const home = await findDefaultWorkspace(get)
    const query = reportQuery('/v1/organizations/cost_report', window, [
      ['bucket_width', '1d'],
      ...repeated('group_by', ['workspace_id', 'description']),
      ['limit', COST_DAYS_PER_PAGE],
    ])
    await pages(query, (body) =>
      readBuckets(body, listNew, (at, raw) => addCost(rows, at, raw, home)),
    )
    return rows
  },
}

/** Fast mode is a dimension only where its beta is open; see `legacyUsage`. */
export const legacyUsageWithSpeed: Variant = {
  grouping: 'legacy-speed:v1',
  refuses: (error: UpstreamError) =>
    isClosed(error) || (error.status === 400 && error.detail.code === undefined),
  read: (window, pages, get) => readUsage(window, pages, get, true),
}

export const legacyUsage: Variant = {
  grouping: 'legacy:v1',
  refuses: isClosed,
  read: (window, pages, get) => readUsage(window, pages, get, false),
}

async function readUsage(
  window: Range,
  pages: Parameters<Variant['read']>[1],
  get: Get,
  with_speed: boolean,
) {
  const rows = emptyRows()
  const listNew = createRepeats(ID)
  const home = await findDefaultWorkspace(get)
  const query = reportQuery('/v1/organizations/usage_report/messages', window, [
    ['bucket_width', '1h'],
    ...repeated('group_by', with_speed ? [...DIMENSIONS, 'speed'] : DIMENSIONS),
    ['limit', USAGE_HOURS_PER_PAGE],
  ])
  const headers = with_speed ? { headers: FAST_BETA } : {}
  await pages({ ...query, ...headers }, (body) =>
    readBuckets(body, listNew, (at, raw) => addUsage(rows, at, raw, home)),
  )
  return rows
}

/** Both ends are always sent: an omitted end can lie before the start. */
function reportQuery(path: string, { start, end }: Range, rest: Query['params']): Query {
  return {
    path,
    params: [['starting_at', isoTime(start)], ['ending_at', isoTime(end)], ...rest],
  }
}

const Bucket = z.object({ starting_at: Instant, results: z.array(z.unknown()) })

function readBuckets(
  body: unknown,
  listNew: Repeats,
  add: (bucket_start: number, raw: unknown) => void,
) {
  const page = readPage(body)
  const buckets = page.data.map((raw) => {
    const bucket = Bucket.safeParse(raw)
    if (!bucket.success) throw contractError(ID, 'sent a bucket that is none')
    return bucket.data
  })
  for (const { starting_at, results } of listNew(buckets, (one) => String(one.starting_at)))
    for (const row of results) add(starting_at, row)
  return page.next
}

const UsageRow = TokenFields.extend({
  account_id: OptionalText,
  api_key_id: OptionalText,
  context_window: OptionalText,
  inference_geo: OptionalText,
  model: OptionalText,
  service_account_id: OptionalText,
  service_tier: OptionalText,
  workspace_id: OptionalText,
  speed: OptionalText,
})
const USAGE_FIELDS = fieldsOf(UsageRow)

function addUsage(rows: Rows, bucket_start: number, raw: unknown, home: string): void {
  const row = readRow(rows, UsageRow, raw, bucket_start)
  if (!row) return
  const is_new =
    hasOtherFields(raw, USAGE_FIELDS) || hasNewCounts(row) || !SERVICE_TIERS.has(row.service_tier)
  rows.usage.push({
    bucket_start,
    dims: {
      model: row.model ?? '',
      api_key: row.api_key_id ?? '',
      workspace: row.workspace_id ?? home,
      user: row.account_id ?? row.service_account_id ?? '',
      service_tier: row.service_tier ?? '',
      context_window: row.context_window ?? '',
      inference_geo: row.inference_geo ?? '',
      ...(row.speed === null ? {} : { speed: row.speed }),
    },
    // This report counts no requests.
    usage: usageOf(row, null),
    ...rawOfUnfamiliar(rows, raw, is_new),
  })
}

const CostRow = z.object({
  amount: Amount,
  currency: Currency,
  description: OptionalText,
  cost_type: OptionalText,
  token_type: OptionalText,
  model: OptionalText,
  service_tier: OptionalText,
  context_window: OptionalText,
  inference_geo: OptionalText,
  workspace_id: OptionalText,
})
const COST_FIELDS = fieldsOf(CostRow)

function addCost(rows: Rows, bucket_start: number, raw: unknown, home: string): void {
  const row = readRow(rows, CostRow, raw, bucket_start)
  const amount_nanos = row && readAmount(rows, bucket_start, row.amount, nanosFromCents)
  if (!row || amount_nanos === undefined) return
  const { component, is_known } = componentOf(row.cost_type, row.token_type)
  // Key and person are not in this report; the model of a search is not either, though usage knows it.
  const model = component === 'web_search' && row.model === null ? {} : { model: row.model ?? '' }
  const token_dims =
    row.token_type === null
      ? {}
      : {
          service_tier: row.service_tier ?? '',
          context_window: row.context_window ?? '',
          inference_geo: row.inference_geo ?? '',
        }
  rows.cost.push({
    bucket_start,
    dims: {
      ...model,
      ...token_dims,
      workspace: row.workspace_id ?? home,
      component,
      ...(row.description === null ? {} : { line_item: row.description }),
      ...(is_known ? {} : { other: `${row.cost_type} ${row.token_type}` }),
    },
    amount_nanos,
    list_nanos: null,
    currency: row.currency,
    raw_amount: String(row.amount).slice(0, 100),
    ...rawOfUnfamiliar(
      rows,
      raw,
      !is_known || hasOtherFields(raw, COST_FIELDS) || !SERVICE_TIERS.has(row.service_tier),
    ),
  })
}

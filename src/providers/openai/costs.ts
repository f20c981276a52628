import * as z from 'zod'
import { DAY_MS, HOUR_MS } from '../../clock.ts'
import type { CostComponent, Dimensions } from '../../ledger/bucket.ts'
import { nanosFromUsd } from '../../money.ts'
import type { Report, Variant } from '../provider.ts'
import {
  Amount,
  Currency,
  createRepeats,
  emptyRows,
  fieldsOf,
  hasOtherFields,
  OptionalText,
  type Rows,
  rawOfUnfamiliar,
  readAmount,
  readRow,
} from '../rows.ts'
import { ID, readBuckets, reportQuery } from './rows.ts'

/** https://platform.openai.com/docs/api-reference/usage/costs: dollars a day; who used it is not in it. */
const LIMIT = 31
/** Costs before this day are refused with a key, and with more than one grouping. */
const KEYED_SINCE = Date.parse('2025-12-06T00:00:00Z')

const keyed: Variant = {
  grouping: 'keyed:v1',
  range: () => ({ start: KEYED_SINCE, end: Number.POSITIVE_INFINITY }),
  // An unreadable date has the same parameter and another code: that one is a fault of ours.
  refuses: ({ status, detail }) =>
    status === 400 && detail.param === 'start_time' && detail.code === 'invalid_request_error',
  read: (window, pages) => readCosts(window, pages, ['project_id', 'api_key_id', 'line_item']),
}

const unkeyed: Variant = {
  grouping: 'line-items:v1',
  read: (window, pages) => readCosts(window, pages, ['line_item']),
}

export const costReport: Report = {
  name: 'cost',
  view: 'cost',
  bucket_ms: DAY_MS,
  window_ms: 31 * DAY_MS,
  every_ms: HOUR_MS,
  lookback_ms: 3 * DAY_MS,
  settle_ms: 6 * HOUR_MS,
  floor: () => Number.NEGATIVE_INFINITY,
  serves_current: true,
  variants: [keyed, unkeyed],
}

async function readCosts(
  window: Parameters<Variant['read']>[0],
  pages: Parameters<Variant['read']>[1],
  group_by: readonly string[],
) {
  const rows = emptyRows()
  const listNew = createRepeats(ID)
  const has_keys = group_by.includes('api_key_id')
  await pages(reportQuery('/organization/costs', window, '1d', LIMIT, group_by), (body) =>
    readBuckets(body, listNew, (at, raw) => addRow(rows, at, raw, has_keys)),
  )
  return rows
}

const Row = z.object({
  amount: z.object({ value: Amount, currency: Currency }),
  line_item: OptionalText,
  project_id: OptionalText,
  api_key_id: OptionalText,
})

const KNOWN_FIELDS = new Set([
  ...fieldsOf(Row),
  'object',
  'user_id',
  'api_source',
  'quantity',
  'quantity_unit',
])

function addRow(rows: Rows, bucket_start: number, raw: unknown, has_keys: boolean): void {
  const row = readRow(rows, Row, raw, bucket_start)
  if (!row) return
  const amount_nanos = readAmount(rows, bucket_start, row.amount.value, nanosFromUsd)
  if (amount_nanos === undefined) return
  const holder = has_keys ? { workspace: row.project_id ?? '', api_key: row.api_key_id ?? '' } : {}
  rows.cost.push({
    bucket_start,
    dims: { ...parseLineItem(row.line_item ?? ''), ...holder, line_item: row.line_item ?? '' },
    amount_nanos,
    list_nanos: null,
    currency: row.amount.currency,
    raw_amount: String(row.amount.value).slice(0, 100),
    ...rawOfUnfamiliar(rows, raw, hasOtherFields(raw, KNOWN_FIELDS)),
  })
}

const COMPONENTS: Readonly<Record<string, CostComponent>> = {
  input_tokens: 'uncached_input_tokens',
  cached_input_tokens: 'cache_read_tokens',
  cache_write_30m_tokens: 'cache_write_5m_tokens',
  cache_write_12h_tokens: 'cache_write_1h_tokens',
  output_tokens: 'output_tokens',
  input_audio_tokens: 'input_audio_tokens',
  output_audio_tokens: 'output_audio_tokens',
  input_image_tokens: 'input_image_tokens',
  output_image_tokens: 'output_image_tokens',
  images: 'image',
  characters: 'character',
  duration_seconds: 'second',
  duration_minutes: 'second',
  duration_hours: 'second',
}

/** Tools that are billed by the call; only searches of the web belong to a model that usage knows. */
const TOOLS: Readonly<Record<string, Dimensions>> = {
  'web search tool calls': { component: 'web_search' },
  'file search tool calls': { component: 'file_search', model: '' },
  'code interpreter sessions': { component: 'session', model: '' },
  'file search storage': { component: 'byte', model: '' },
}

const TIERS = ['batch', 'flex', 'priority']

/**
 * A line item is free text, usually `<model>[ <tier>], <component>`. What does not read so strictly keeps
 * its text and belongs to no model: a guess would put money on the wrong one.
 */
export function parseLineItem(text: string): Dimensions {
  const tool = Object.hasOwn(TOOLS, text) ? TOOLS[text] : undefined
  if (tool) return tool
  const [name = '', word = '', ...rest] = text.split(', ')
  const [model = '', tier, ...more] = name.split(' ')
  const component = Object.hasOwn(COMPONENTS, word) ? COMPONENTS[word] : undefined
  const is_plain = rest.length === 0 && more.length === 0 && model !== ''
  if (!component || !is_plain || (tier !== undefined && !TIERS.includes(tier)))
    return { component: 'other', model: '' }
  const is_text = component.endsWith('_tokens')
  return { component, model, ...(is_text ? { service_tier: tier ?? 'standard' } : {}) }
}

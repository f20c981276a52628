import * as z from 'zod'
import { DAY_MS, floorTo } from '../../clock.ts'
import { nanosFromUsd } from '../../money.ts'
import { NO_USAGE } from '../../usage.ts'
import { contractError } from '../pages.ts'
import type { Get, Range, Report, Variant } from '../provider.ts'
import { Count, emptyRows, OptionalCount, OptionalText, type Rows, readRow, Text } from '../rows.ts'
import { listKeys, listWorkspaceIds } from './directory.ts'

/**
 * https://openrouter.ai/docs/api-reference/analytics/get-activity: the last 30 completed UTC days, in
 * one answer. Keys are known only by asking once for each; what no key accounts for is a remainder.
 */
const HISTORY_MS = 30 * DAY_MS

export const ID = 'openrouter'

export const activity: Report = {
  name: 'activity',
  view: 'both',
  bucket_ms: DAY_MS,
  window_ms: 31 * DAY_MS,
  every_ms: 6 * 3_600_000,
  lookback_ms: HISTORY_MS,
  settle_ms: 0,
  floor: (now) => floorTo(now, DAY_MS) - HISTORY_MS,
  serves_current: false,
  variants: [{ grouping: 'activity:v1', read }],
}

async function read(window: Range, _: unknown, get: Get): ReturnType<Variant['read']> {
  const rows = emptyRows()
  const total = await readActivity(rows, get, window, [])
  const left = new Map(total.map((one) => [coordinates(one), one]))
  for (const workspace of await listWorkspaceIds(get))
    for (const { hash } of await listKeys(get, workspace)) {
      const own = await readActivity(rows, get, window, [['api_key_hash', hash]])
      for (const one of own) {
        addRows(rows, one, hash, workspace)
        const whole = left.get(coordinates(one))
        if (whole) left.set(coordinates(one), subtract(whole, one))
      }
    }
  // Where the keys' answers are newer than the total, the keys are right and nothing is left.
  for (const rest of left.values()) if (isRemainder(rest)) addRows(rows, rest, '', '')
  return rows
}

type Day = {
  readonly at: number
  readonly model: string
  readonly endpoint: string
  readonly nanos: bigint
  readonly byok_nanos: bigint
  readonly requests: number
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly reasoning_tokens: number
  readonly raw_amount: string
}

const Row = z.object({
  date: z.string().regex(/^\d{4}-\d\d-\d\d/),
  model: Text,
  endpoint_id: OptionalText,
  usage: z.union([z.number(), z.string()]),
  byok_usage_inference: z.union([z.number(), z.string()]).nullish(),
  requests: Count,
  prompt_tokens: Count,
  completion_tokens: Count,
  reasoning_tokens: OptionalCount,
})

async function readActivity(
  rows: Rows,
  get: Get,
  { start, end }: Range,
  params: [string, string][],
): Promise<Day[]> {
  const body = z
    .object({ data: z.array(z.unknown()) })
    .safeParse(await get({ path: '/activity', params }))
  if (!body.success) throw contractError(ID, 'sent an activity that is none')
  return body.data.data
    .flatMap((raw) => readDay(rows, raw) ?? [])
    .filter(({ at }) => at >= start && at < end)
}

function readDay(rows: Rows, raw: unknown): Day | undefined {
  const row = readRow(rows, Row, raw, null)
  if (!row) return undefined
  try {
    return {
      at: Date.parse(row.date.slice(0, 10)),
      model: row.model,
      endpoint: row.endpoint_id ?? '',
      nanos: nanosFromUsd(row.usage),
      byok_nanos: nanosFromUsd(row.byok_usage_inference ?? 0),
      requests: row.requests,
      prompt_tokens: row.prompt_tokens,
      completion_tokens: row.completion_tokens,
      reasoning_tokens: row.reasoning_tokens,
      raw_amount: String(row.usage).slice(0, 100),
    }
  } catch {
    rows.malformed.push({ bucket_start: null, reason: 'usage: not a decimal number' })
    return undefined
  }
}

function coordinates({ at, model, endpoint }: Day): string {
  return JSON.stringify([at, model, endpoint])
}

function subtract(whole: Day, part: Day): Day {
  return {
    ...whole,
    nanos: whole.nanos - part.nanos,
    byok_nanos: whole.byok_nanos - part.byok_nanos,
    requests: whole.requests - part.requests,
    prompt_tokens: whole.prompt_tokens - part.prompt_tokens,
    completion_tokens: whole.completion_tokens - part.completion_tokens,
    reasoning_tokens: whole.reasoning_tokens - part.reasoning_tokens,
    raw_amount: '',
  }
}

function isRemainder({ nanos, requests, prompt_tokens, completion_tokens }: Day): boolean {
  return nanos >= 0n && requests > 0 && prompt_tokens >= 0 && completion_tokens >= 0
}

function addRows(rows: Rows, day: Day, api_key: string, workspace: string): void {
  const { at: bucket_start, model, endpoint: other } = day
  const dims = { model, api_key, workspace, user: '', other }
  rows.usage.push({
    bucket_start,
    dims,
    usage: {
      ...NO_USAGE,
      uncached_input_tokens: day.prompt_tokens,
      output_tokens: day.completion_tokens,
      reasoning_tokens: Math.max(0, Math.min(day.reasoning_tokens, day.completion_tokens)),
      requests: day.requests,
    },
  })
  const cost = { bucket_start, list_nanos: null, currency: 'usd', raw_amount: day.raw_amount }
  rows.cost.push({ ...cost, dims: { ...dims, component: 'all' }, amount_nanos: day.nanos })
  if (day.byok_nanos > 0n)
    rows.cost.push({
      ...cost,
      dims: { ...dims, component: 'byok_inference' },
      amount_nanos: day.byok_nanos,
    })
}

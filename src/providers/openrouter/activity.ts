import * as z from 'zod'
import { DAY_MS, floorTo, HOUR_MS } from '../../clock.ts'
import { UpstreamError } from '../../errors.ts'
import { nanosFromUsd } from '../../money.ts'
import { NO_USAGE } from '../../usage.ts'
import { contractError } from '../pages.ts'
import type { Get, Query, Range, Report, Variant } from '../provider.ts'
import {
  Amount,
  Count,
  emptyRows,
  fieldsOf,
  hasOtherFields,
  OptionalCount,
  OptionalText,
  type Rows,
  rawOfUnfamiliar,
  readAmount,
  readRow,
} from '../rows.ts'
import { ID, listKeys, listWorkspaces } from './directory.ts'

/**
 * https://openrouter.ai/docs/api-reference/analytics/get-activity: the last 30 completed UTC days, in
 * one answer. Keys are known only by asking once for each; what no key accounts for, as the spend of a
 * deleted one, is a remainder without a key.
 */
const HISTORY_MS = 30 * DAY_MS

export const activity: Report = {
  name: 'activity',
  view: 'both',
  bucket_ms: DAY_MS,
  window_ms: 31 * DAY_MS,
  every_ms: 6 * HOUR_MS,
  lookback_ms: HISTORY_MS,
  settle_ms: 0,
  floor: (now) => floorTo(now, DAY_MS) - HISTORY_MS,
  serves_current: false,
  variants: [{ grouping: 'activity:v1', read }],
}

async function read(window: Range, _: unknown, get: Get): ReturnType<Variant['read']> {
  const rows = emptyRows()
  const total = await readActivity(rows, get, window, [])
  // What a key's own answer says unreadably must not come back as a remainder: it may be stored already.
  const known_malformed = rows.malformed.length
  const left = new Map<string, Day>()
  for (const day of total) left.set(coordinates(day), merge(left.get(coordinates(day)), day))
  // A workspace may be listed by its id and as the default one; each of its keys counts once.
  const read = new Set<string>()
  for (const workspace of await listWorkspaces(get))
    for (const { hash } of await listKeys(get, workspace)) {
      if (read.has(hash)) continue
      read.add(hash)
      for (const day of await readKey(rows, get, window, hash)) {
        const own = { ...day, workspace: day.workspace || workspace }
        addRows(rows, own, hash)
        const whole = left.get(coordinates(own))
        if (whole) left.set(coordinates(own), subtract(whole, own))
      }
    }
  const unreadable = new Set(rows.malformed.slice(known_malformed).map((row) => row.bucket_start))
  for (const rest of left.values())
    if (!unreadable.has(rest.at) && !unreadable.has(null)) addRemainder(rows, rest)
  return rows
}

type Day = {
  readonly at: number
  readonly model: string
  /** Which vendor served it; tells rows of one model apart. */
  readonly endpoint: string
  readonly workspace: string
  readonly nanos: bigint
  readonly byok_nanos: bigint
  readonly requests: number
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly reasoning_tokens: number
  readonly raw_amount: string
  readonly raw?: { raw_json: string } | undefined
}

const Row = z.object({
  date: z
    .string()
    .regex(/^\d{4}-\d\d-\d\d/)
    .transform((text) => Date.parse(text.slice(0, 10)))
    .refine((at) => Number.isFinite(at)),
  model: OptionalText,
  endpoint_id: OptionalText,
  workspace_id: OptionalText,
  usage: Amount,
  byok_usage_inference: Amount.nullish(),
  requests: Count,
  prompt_tokens: Count,
  completion_tokens: Count,
  reasoning_tokens: OptionalCount,
})

const KNOWN_FIELDS = new Set([...fieldsOf(Row), 'model_permaslug', 'provider_name'])

/** A key that was deleted since it was listed has no answer of its own any more. */
async function readKey(rows: Rows, get: Get, window: Range, hash: string): Promise<Day[]> {
  try {
    return await readActivity(rows, get, window, [['api_key_hash', hash]])
  } catch (error) {
    if (error instanceof UpstreamError && error.status === 404) return []
    throw error
  }
}

async function readActivity(
  rows: Rows,
  get: Get,
  { start, end }: Range,
  filter: Query['params'],
): Promise<Day[]> {
  const params: Query['params'] = [...filter, ['group_by', 'workspace']]
  const body = z
    .object({ data: z.array(z.unknown()) })
    .safeParse(await get({ path: '/activity', params }))
  if (!body.success) throw contractError(ID, 'sent an activity that is none')
  return body.data.data
    .filter((raw) => isInside(raw, start, end))
    .flatMap((raw) => readDay(rows, raw) ?? [])
}

/** The answer always has all 30 days; rows without a readable date go on, to be written down. */
function isInside(raw: unknown, start: number, end: number): boolean {
  const at = dateOf(raw)
  return at === null || (at >= start && at < end)
}

function dateOf(raw: unknown): number | null {
  return Row.pick({ date: true }).safeParse(raw).data?.date ?? null
}

function readDay(rows: Rows, raw: unknown): Day | undefined {
  const row = readRow(rows, Row, raw, dateOf(raw))
  if (!row) return undefined
  const nanos = readAmount(rows, row.date, row.usage, nanosFromUsd)
  const byok_nanos = readAmount(rows, row.date, row.byok_usage_inference ?? 0, nanosFromUsd)
  if (nanos === undefined || byok_nanos === undefined) return undefined
  return {
    at: row.date,
    model: row.model ?? '',
    endpoint: row.endpoint_id ?? '',
    workspace: row.workspace_id ?? '',
    nanos,
    byok_nanos,
    requests: row.requests,
    prompt_tokens: row.prompt_tokens,
    completion_tokens: row.completion_tokens,
    reasoning_tokens: row.reasoning_tokens,
    raw_amount: String(row.usage).slice(0, 100),
    raw: rawOfUnfamiliar(rows, raw, hasOtherFields(raw, KNOWN_FIELDS)),
  }
}

function coordinates({ at, model, endpoint, workspace }: Day): string {
  return JSON.stringify([at, model, endpoint, workspace])
}

function merge(one: Day | undefined, other: Day): Day {
  return one ? combine(one, other, 1) : other
}

function subtract(whole: Day, part: Day): Day {
  return combine(whole, part, -1)
}

function combine(one: Day, other: Day, sign: 1 | -1): Day {
  return {
    ...one,
    nanos: one.nanos + other.nanos * BigInt(sign),
    byok_nanos: one.byok_nanos + other.byok_nanos * BigInt(sign),
    requests: one.requests + other.requests * sign,
    prompt_tokens: one.prompt_tokens + other.prompt_tokens * sign,
    completion_tokens: one.completion_tokens + other.completion_tokens * sign,
    reasoning_tokens: one.reasoning_tokens + other.reasoning_tokens * sign,
    raw_amount: '',
    raw: undefined,
  }
}

/**
 * Where a key's own answer counts more than the total's share, it is the newer one and nothing is left.
 * Money alone may well be negative: a credit that no key has.
 */
function addRemainder(rows: Rows, rest: Day): void {
  const counts = [rest.requests, rest.prompt_tokens, rest.completion_tokens]
  const is_older = counts.some((count) => count < 0)
  const is_empty =
    rest.nanos === 0n && rest.byok_nanos <= 0n && counts.every((count) => count === 0)
  if (!is_older && !is_empty) addRows(rows, rest, '')
}

function addRows(rows: Rows, day: Day, api_key: string): void {
  const { at: bucket_start, model, workspace, endpoint: other } = day
  // The report names nobody: who used a key is not broken out.
  const dims = { model, api_key, workspace, other }
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
    ...day.raw,
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

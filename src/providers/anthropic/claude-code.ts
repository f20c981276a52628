import * as z from 'zod'
import { DAY_MS, utcDate } from '../../clock.ts'
import { nanosFromCents } from '../../money.ts'
import type { Variant } from '../provider.ts'
import {
  emptyRows,
  Instant,
  OptionalCount,
  OptionalText,
  type Rows,
  readAmount,
  readRow,
  Text,
} from '../rows.ts'
import { isClosed, readPage } from './rows.ts'

/**
 * The Claude Code report: one UTC day a call, one record a person, terminal and way of paying. Its costs
 * are estimates of money that the other reports hold already, or of what seats pay for.
 * https://platform.claude.com/docs/en/manage-claude/claude-code-analytics-api
 */
export const claudeCode: Variant = {
  grouping: 'claude-code:v1',
  refuses: isClosed,
  async read({ start, end }, pages) {
    const rows = emptyRows()
    for (let day = start; day < end; day += DAY_MS) {
      const params: [string, string][] = [
        ['starting_at', utcDate(day)],
        ['limit', '1000'],
      ]
      await pages({ path: '/v1/organizations/usage_report/claude_code', params }, (body) => {
        const page = readPage(body)
        for (const raw of page.data) addRecord(rows, raw, day)
        return page.next
      })
    }
    return rows
  },
}

const CUSTOMER_TYPES = new Set(['api', 'subscription'])

const Record = z.object({
  date: Instant,
  actor: z.object({ email_address: OptionalText, api_key_name: OptionalText }),
  customer_type: z.string(),
  terminal_type: OptionalText,
  is_remote: z.boolean().nullish(),
  model_breakdown: z.array(
    z.object({
      model: Text,
      tokens: z.object({
        input: OptionalCount,
        output: OptionalCount,
        cache_read: OptionalCount,
        cache_creation: OptionalCount,
      }),
      estimated_cost: z
        .object({ amount: z.number(), currency: z.literal(['USD', 'usd']) })
        .nullish(),
    }),
  ),
})

function addRecord(rows: Rows, raw: unknown, day: number): void {
  const record = readRow(rows, Record, raw, day)
  if (!record) return
  if (!CUSTOMER_TYPES.has(record.customer_type)) rows.unfamiliar += 1
  for (const { model, tokens, estimated_cost } of record.model_breakdown) {
    const estimated_nanos = readAmount(rows, day, estimated_cost?.amount ?? 0, nanosFromCents)
    if (estimated_nanos === undefined) continue
    rows.assistant.push({
      bucket_start: day,
      user: record.actor.email_address ?? record.actor.api_key_name ?? '',
      client: 'claude-code',
      billing_mode: record.customer_type === 'subscription' ? 'subscription' : 'api',
      terminal: record.terminal_type ?? '',
      is_remote: record.is_remote ?? false,
      model,
      uncached_input_tokens: tokens.input,
      cache_read_tokens: tokens.cache_read,
      cache_write_tokens: tokens.cache_creation,
      output_tokens: tokens.output,
      estimated_nanos,
    })
  }
}

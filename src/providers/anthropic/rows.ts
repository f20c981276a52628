import * as z from 'zod'
import type { UpstreamError } from '../../errors.ts'
import type { CostComponent } from '../../ledger/bucket.ts'
import { NO_USAGE, type Usage } from '../../usage.ts'
import { contractError } from '../pages.ts'
import { Count, fieldsOf, hasOtherFields, OptionalCount } from '../rows.ts'

export const ID = 'anthropic'

const CacheCreation = z.looseObject({
  ephemeral_5m_input_tokens: OptionalCount,
  ephemeral_1h_input_tokens: OptionalCount,
})
const ServerTools = z.looseObject({ web_search_requests: OptionalCount })

/** Tokens of one row; input excludes cache, and cache writes are split by how long they live. */
export const TokenFields = z.looseObject({
  uncached_input_tokens: Count,
  output_tokens: Count,
  cache_read_input_tokens: OptionalCount,
  cache_creation: CacheCreation.nullish(),
  server_tool_use: ServerTools.nullish(),
})

/** Whether the nested counts have a class that we do not know and so do not count. */
export function hasNewCounts(row: z.output<typeof TokenFields>): boolean {
  return (
    hasOtherFields(row.cache_creation, CACHE_FIELDS) || hasOtherFields(row.server_tool_use, TOOLS)
  )
}
const CACHE_FIELDS = fieldsOf(CacheCreation)
const TOOLS = fieldsOf(ServerTools)

export function usageOf(row: z.output<typeof TokenFields>, requests: number | null): Usage {
  const searches = row.server_tool_use?.web_search_requests ?? 0
  return {
    ...NO_USAGE,
    uncached_input_tokens: row.uncached_input_tokens,
    cache_read_tokens: row.cache_read_input_tokens,
    cache_write_5m_tokens: row.cache_creation?.ephemeral_5m_input_tokens ?? 0,
    cache_write_1h_tokens: row.cache_creation?.ephemeral_1h_input_tokens ?? 0,
    output_tokens: row.output_tokens,
    requests,
    ...(searches > 0 ? { unit: 'web_search' as const, units: searches } : {}),
  }
}

const TOKEN_TYPES: Readonly<Record<string, CostComponent>> = {
  uncached_input_tokens: 'uncached_input_tokens',
  output_tokens: 'output_tokens',
  cache_read_input_tokens: 'cache_read_tokens',
  'cache_creation.ephemeral_5m_input_tokens': 'cache_write_5m_tokens',
  'cache_creation.ephemeral_1h_input_tokens': 'cache_write_1h_tokens',
}

const COST_TYPES: Readonly<Record<string, CostComponent>> = {
  web_search: 'web_search',
  code_execution: 'code_execution',
  session_usage: 'session',
}

/** What a cost row is for; `is_known` is false for words that the contract does not have. */
export function componentOf(
  cost_type: string | null,
  token_type: string | null,
): { component: CostComponent; is_known: boolean } {
  if (cost_type === 'tokens' || cost_type === null) {
    const component = token_type === null ? undefined : TOKEN_TYPES[token_type]
    return {
      component: component ?? 'other',
      is_known: component !== undefined || token_type === null,
    }
  }
  const component = COST_TYPES[cost_type]
  return { component: component ?? 'other', is_known: component !== undefined }
}

export const SERVICE_TIERS: ReadonlySet<string | null> = new Set([
  null,
  'standard',
  'batch',
  'flex',
  'flex_discount',
  'priority',
  'priority_on_demand',
])

const CLOSED = ['organization_not_enrolled_in_beta', 'organization_type_not_supported']

/** The organisation does not have this report; another one, or none, takes its place. */
export function isClosed({ status, detail }: UpstreamError): boolean {
  return status === 404 || (status === 400 && CLOSED.includes(detail.code ?? ''))
}

const Envelope = z.object({
  data: z.array(z.unknown()),
  has_more: z.boolean().optional(),
  next_page: z.string().nullish(),
})

/** One page of a report. A promised next page without a token breaks the contract. */
export function readPage(body: unknown): {
  data: unknown[]
  next: [name: string, value: string][] | null
} {
  const page = Envelope.safeParse(body)
  if (!page.success) throw contractError(ID, 'sent a page that is none')
  const { data, has_more, next_page } = page.data
  if (has_more && !next_page) throw contractError(ID, 'promised another page without saying where')
  const is_last = has_more === false || !next_page
  return { data, next: is_last ? null : [['page', next_page]] }
}

/** Sent with every array parameter: `group_by[]=model&group_by[]=workspace_id`. */
export function repeated(name: string, values: readonly string[]): [string, string][] {
  return values.map((value) => [`${name}[]`, value])
}

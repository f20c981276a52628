import * as z from 'zod'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../clock.ts'
import type { Dimensions } from '../../ledger/bucket.ts'
import { NO_USAGE, type Unit, type Usage } from '../../usage.ts'
import type { Report, Variant } from '../provider.ts'
import {
  absent,
  ByteCount,
  Count,
  createRepeats,
  emptyRows,
  hasOtherFields,
  OptionalCount,
  OptionalText,
  type Rows,
  rawOfUnfamiliar,
  readRow,
} from '../rows.ts'
import { ID, readBuckets, reportQuery } from './rows.ts'

/** https://platform.openai.com/docs/api-reference/usage: a report a kind, each with its own measures. */
type Kind = {
  readonly name: string
  readonly group_by: readonly string[]
  readonly width: '1h' | '1d'
  /** Turns the row's measures into usage; null: one is missing, or is less than its parts. */
  read(row: Measures): Usage | null
}

const BY_MODEL = ['project_id', 'user_id', 'api_key_id', 'model']
const TEXT_DIMENSIONS = [...BY_MODEL, 'batch', 'service_tier']

const Measures = z.object({
  input_tokens: Count.nullish(),
  input_uncached_tokens: Count.nullish(),
  input_cached_tokens: OptionalCount,
  input_cache_write_tokens: Count.nullish(),
  input_cache_write_30m_tokens: Count.nullish(),
  input_cache_write_12h_tokens: Count.nullish(),
  input_audio_tokens: OptionalCount,
  input_image_tokens: OptionalCount,
  output_tokens: Count.nullish(),
  output_audio_tokens: OptionalCount,
  output_image_tokens: OptionalCount,
  num_model_requests: Count.nullish(),
  num_requests: Count.nullish(),
  num_sessions: Count.nullish(),
  images: Count.nullish(),
  characters: Count.nullish(),
  seconds: Count.nullish(),
  usage_bytes: ByteCount.nullish(),
})
type Measures = z.output<typeof Measures>

const Row = Measures.extend({
  project_id: OptionalText,
  user_id: OptionalText,
  api_key_id: OptionalText,
  model: OptionalText,
  batch: z.boolean().nullish(),
  service_tier: OptionalText,
  size: OptionalText,
  source: OptionalText,
  vector_store_id: OptionalText,
  context_level: OptionalText,
})

const KNOWN_FIELDS = new Set([
  ...Object.keys(Row.shape),
  'object',
  'api_source',
  'input_text_tokens',
  'output_text_tokens',
  'input_cached_text_tokens',
  'input_cached_audio_tokens',
  'input_cached_image_tokens',
])
const SERVICE_TIERS: ReadonlySet<string | null> = new Set([
  null,
  'default',
  'auto',
  'flex',
  'priority',
  'scale',
])

const KINDS: readonly Kind[] = [
  { name: 'completions', group_by: TEXT_DIMENSIONS, width: '1h', read: readAnswered },
  { name: 'decisions', group_by: TEXT_DIMENSIONS, width: '1h', read: readAnswered },
  { name: 'embeddings', group_by: BY_MODEL, width: '1d', read: readText },
  { name: 'moderations', group_by: BY_MODEL, width: '1d', read: readText },
  {
    name: 'images',
    group_by: [...BY_MODEL, 'size', 'source'],
    width: '1d',
    read: units('image', 'images'),
  },
  {
    name: 'audio_speeches',
    group_by: BY_MODEL,
    width: '1d',
    read: units('character', 'characters'),
  },
  {
    name: 'audio_transcriptions',
    group_by: BY_MODEL,
    width: '1d',
    read: units('second', 'seconds'),
  },
  {
    name: 'vector_stores',
    group_by: ['project_id'],
    width: '1d',
    read: units('byte', 'usage_bytes'),
  },
  {
    name: 'code_interpreter_sessions',
    group_by: ['project_id'],
    width: '1d',
    read: units('session', 'num_sessions'),
  },
  {
    name: 'file_search_calls',
    group_by: ['project_id', 'user_id', 'api_key_id', 'vector_store_id'],
    width: '1d',
    read: units('file_search', 'num_requests'),
  },
  {
    name: 'web_search_calls',
    group_by: [...BY_MODEL, 'context_level'],
    width: '1d',
    read: units('web_search', 'num_requests'),
  },
]

export const usageReports: readonly Report[] = KINDS.map((kind) => ({
  name: `usage.${kind.name}`,
  view: 'usage',
  bucket_ms: kind.width === '1h' ? HOUR_MS : DAY_MS,
  window_ms: kind.width === '1h' ? 7 * DAY_MS : 31 * DAY_MS,
  every_ms: kind.width === '1h' ? 15 * MINUTE_MS : HOUR_MS,
  lookback_ms: 6 * DAY_MS,
  settle_ms: 0,
  floor: () => Number.NEGATIVE_INFINITY,
  serves_current: true,
  variants: [byDimensions(kind), absent],
}))

function byDimensions(kind: Kind): Variant {
  return {
    grouping: `${kind.name}:v1`,
    // Organisations that are older than a kind answer 404 for it: it has no rows there.
    refuses: ({ status, detail }) =>
      status === 404 || (status === 400 && detail.code === 'unknown_url'),
    async read(window, pages) {
      const rows = emptyRows()
      const listNew = createRepeats(ID)
      const limit = kind.width === '1h' ? 168 : 31
      const path = `/organization/usage/${kind.name}`
      await pages(reportQuery(path, window, kind.width, limit, kind.group_by), (body) =>
        readBuckets(body, listNew, (at, raw) => addRow(rows, kind, at, raw)),
      )
      return rows
    },
  }
}

function addRow(rows: Rows, kind: Kind, bucket_start: number, raw: unknown): void {
  const row = readRow(rows, Row, raw, bucket_start)
  if (!row) return
  const usage = kind.read(row)
  if (!usage) {
    rows.malformed.push({ bucket_start, reason: 'counts: missing, or less than their parts' })
    return
  }
  const is_new =
    hasOtherFields(raw, KNOWN_FIELDS) ||
    !SERVICE_TIERS.has(row.service_tier) ||
    hasUnsplitWrites(row)
  rows.usage.push({
    bucket_start,
    dims: dimensionsOf(kind, row),
    usage,
    ...rawOfUnfamiliar(rows, raw, is_new),
  })
}

function dimensionsOf(kind: Kind, row: z.output<typeof Row>): Dimensions {
  const other = [row.size, row.source, row.vector_store_id, row.context_level].filter(Boolean)
  const has = (name: string) => kind.group_by.includes(name)
  return {
    // What is stored or started for a project belongs to no model, and costs say so too.
    model: row.model ?? '',
    workspace: row.project_id ?? '',
    ...(has('api_key_id') ? { api_key: row.api_key_id ?? '' } : {}),
    ...(has('user_id') ? { user: row.user_id ?? '' } : {}),
    ...(has('service_tier') ? { service_tier: tierOf(row) } : {}),
    ...(other.length > 0 ? { other: other.join(' ') } : {}),
  }
}

/** Batch is a flag here and a tier in costs. */
function tierOf({ batch, service_tier }: z.output<typeof Row>): string {
  if (batch) return 'batch'
  return service_tier === null || service_tier === 'default' || service_tier === 'auto'
    ? 'standard'
    : service_tier
}

/** `input_tokens` includes cached, cache-writing, audio and image tokens; here each is in one class. */
function readText(row: Measures): Usage | null {
  if (row.input_tokens == null) return null
  const long = row.input_cache_write_12h_tokens ?? 0
  const writes = row.input_cache_write_tokens ?? (row.input_cache_write_30m_tokens ?? 0) + long
  const uncached = row.input_uncached_tokens ?? row.input_tokens - row.input_cached_tokens - writes
  const text = uncached - row.input_audio_tokens - row.input_image_tokens
  const output = (row.output_tokens ?? 0) - row.output_audio_tokens - row.output_image_tokens
  if (text < 0 || output < 0 || writes < long) return null
  return {
    ...NO_USAGE,
    uncached_input_tokens: text,
    cache_read_tokens: row.input_cached_tokens,
    // Writes that live 30 minutes stand in the short class, those of 12 hours in the long one.
    cache_write_5m_tokens: writes - long,
    cache_write_1h_tokens: long,
    input_audio_tokens: row.input_audio_tokens,
    input_image_tokens: row.input_image_tokens,
    output_tokens: output,
    output_audio_tokens: row.output_audio_tokens,
    output_image_tokens: row.output_image_tokens,
    requests: row.num_model_requests ?? null,
  }
}

function readAnswered(row: Measures): Usage | null {
  return row.output_tokens == null ? null : readText(row)
}

/** Older answers give cache writes in one sum; it stands in the short class, which is the cheaper one. */
function hasUnsplitWrites(row: Measures): boolean {
  const is_split =
    row.input_cache_write_30m_tokens != null || row.input_cache_write_12h_tokens != null
  return (row.input_cache_write_tokens ?? 0) > 0 && !is_split
}

/** Tool calls are requests of a tool, and counted as such; model requests stand in `completions`. */
function units(unit: Unit, measure: keyof Measures): Kind['read'] {
  return (row) => {
    const count = row[measure]
    if (typeof count !== 'number') return null
    return { ...NO_USAGE, requests: row.num_model_requests ?? 0, unit, units: count }
  }
}

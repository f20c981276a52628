import { sql } from 'kysely'
import { onTestFinished } from 'vitest'
import { fixedClock } from '../../src/clock.ts'
import { sha256 } from '../../src/ids.ts'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import type { GroupBy } from '../../src/ledger/spend-query.ts'
import type { Sender } from '../../src/otlp/attribution.ts'
import { type BookDeps, createBook } from '../../src/otlp/book.ts'
import type {
  Attributes,
  AttributeValue,
  Batch,
  LogRecord,
  MetricPoint,
  Span,
} from '../../src/otlp/signal.ts'
import { resolvePeriod } from '../../src/period.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'
import { NO_USAGE } from '../../src/usage.ts'

export const NOW = Date.parse('2026-11-20T12:00:00Z')

type Given = Readonly<Record<string, AttributeValue>>

/** As the decoder gives them: without a prototype. */
export function bag(attributes: Given): Attributes {
  return Object.assign(Object.create(null) as Record<string, AttributeValue>, attributes)
}

export function ns(at: number): bigint {
  return BigInt(at) * 1_000_000n
}

export function logRecord(
  service: string,
  attributes: Given,
  rest: Partial<Omit<LogRecord, 'attributes'>> = {},
): LogRecord {
  return {
    resource: bag({ 'service.name': service }),
    scope: { name: '', version: '' },
    attributes: bag(attributes),
    event_name: '',
    body: null,
    time_ns: ns(NOW - 60_000),
    observed_ns: ns(NOW - 60_000),
    trace_id: '',
    span_id: '',
    ...rest,
  }
}

export function logs(...records: LogRecord[]): Batch {
  return { signal: 'logs', records }
}

export function span(
  service: string,
  name: string,
  attributes: Given,
  rest: Partial<Omit<Span, 'attributes' | 'name'>> = {},
): Span {
  return {
    resource: bag({ 'service.name': service }),
    scope: { name: '', version: '' },
    attributes: bag(attributes),
    name,
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    span_id: Buffer.from(sha256(service, name, JSON.stringify(attributes))).toString('hex', 0, 8),
    parent_span_id: '',
    start_ns: ns(NOW - 62_000),
    end_ns: ns(NOW - 60_000),
    ...rest,
  }
}

export function traces(...spans: Span[]): Batch {
  return { signal: 'traces', spans }
}

export function point(
  service: string,
  metric: string,
  attributes: Given,
  rest: Partial<Omit<MetricPoint, 'attributes' | 'metric'>> = {},
): MetricPoint {
  return {
    resource: bag({ 'service.name': service }),
    scope: { name: '', version: '' },
    attributes: bag(attributes),
    metric,
    unit: '',
    kind: 'sum',
    temporality: 'delta',
    is_monotonic: true,
    start_ns: ns(NOW - 120_000),
    time_ns: ns(NOW - 60_000),
    has_no_value: false,
    value: 1,
    count: undefined,
    ...rest,
  }
}

export function metrics(...points: MetricPoint[]): Batch {
  return { signal: 'metrics', points }
}

export const catalog = loadCatalog()

/** A store in memory and the book over it. */
export async function openBook(given: Partial<BookDeps> = {}) {
  const store = await openStore({ path: ':memory:', driver: 'better-sqlite3', now: NOW })
  onTestFinished(() => store.close())
  const clock = fixedClock(NOW)
  const { db } = store
  const book = createBook({ db, clock, catalog: async () => catalog, ...given })
  return {
    db,
    clock,
    book: (batch: Batch, token: Sender = null) => book(batch, { received_at: clock.now(), token }),
    spend: (
      group_by: GroupBy[] = [],
      filter: Record<string, string[]> = {},
      compare = false,
      { from = '2026-11-01' } = {},
    ) =>
      answerSpend(db, {
        period: resolvePeriod({ from, to: '2026-12-01' }, clock.now(), 'UTC'),
        group_by,
        filter,
        basis: 'best',
        compare,
        limit: 100,
        now: clock.now(),
      }),
    async entries() {
      const { rows } = await sql<Record<string, string | number | null>>`
        select id, client, provider, model, session_id, request_id, response_id, user, project, tags, speed,
          service_tier, billing_mode, occurred_at, signal, requests, uncached_input_tokens as uncached,
          cache_read_tokens as cached, cache_write_5m_tokens as written, output_tokens as output,
          reasoning_tokens as reasoning, cast(cost_nanos as text) as cost, unpriced_reason
        from ledger_entry order by occurred_at, id`.execute(db)
      return rows
    },
  }
}

/** One request as the proxy books it, without a session. */
export function proxyEvent({
  client,
  response_id,
  input,
}: {
  client: string
  response_id: string
  input: number
}): UsageEvent {
  return {
    id: `req_${response_id}`,
    source: 'proxy',
    signal: null,
    client,
    provider: 'google',
    model: 'gemini-2.5-flash',
    occurred_at: NOW - 60_000,
    session_id: null,
    request_id: null,
    response_id,
    user: null,
    project: null,
    billing_mode: 'api',
    service_tier: null,
    speed: null,
    usage: { ...NO_USAGE, requests: 1, uncached_input_tokens: input, output_tokens: 50 },
    reported_cost_nanos: null,
    tags: {},
    quality: 'exact',
  }
}

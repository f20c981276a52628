import { sql } from 'kysely'
import { onTestFinished } from 'vitest'
import { fixedClock } from '../../src/clock.ts'
import { createBook } from '../../src/otlp/book.ts'
import type { Attributes, AttributeValue, Batch, LogRecord } from '../../src/otlp/signal.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { openStore } from '../../src/store/open.ts'

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

const catalog = loadCatalog()

/** A store in memory and the book over it. */
export async function openBook(now = NOW) {
  const store = await openStore({ path: ':memory:', driver: 'better-sqlite3', now })
  onTestFinished(() => store.close())
  const clock = fixedClock(now)
  const { db } = store
  const book = createBook({ db, clock, catalog: async () => catalog })
  return {
    db,
    clock,
    book: (batch: Batch) => book(batch, { received_at: clock.now(), token: null }),
    async entries() {
      const { rows } = await sql<Record<string, string | number | null>>`
        select id, client, provider, model, session_id, request_id, user, project, tags, speed,
          service_tier, billing_mode, occurred_at, signal, requests, uncached_input_tokens as uncached,
          cache_read_tokens as cached, cache_write_5m_tokens as written, output_tokens as output,
          reasoning_tokens as reasoning, cast(cost_nanos as text) as cost, unpriced_reason
        from ledger_entry order by occurred_at, id`.execute(db)
      return rows
    },
  }
}

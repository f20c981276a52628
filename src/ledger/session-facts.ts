import { sql } from 'kysely'
import type { Db } from '../store/schema.ts'

const MEASURES = ['lines_added', 'lines_removed', 'commits', 'pull_requests'] as const

/** What came of a session, where its client reports it. */
export type SessionFacts = Partial<Readonly<Record<(typeof MEASURES)[number], number>>>

/** Counted as tokens of metrics are: of a cumulative series the highest value of each start. */
export async function listSessionFacts(
  db: Db,
  session_ids: readonly string[],
): Promise<Map<string, SessionFacts>> {
  const { rows } = await sql<{ session_id: string; measure: string; value: number }>`
    select session_id, measure, max(value) as value from (
      select session_id, measure, sum(value) as value
      from metric_series series join metric_point on series_id = series.id
      where session_id in (select value from json_each(${JSON.stringify(session_ids)}))
        and measure in (select value from json_each(${JSON.stringify(MEASURES)}))
      group by session_id, measure, is_cumulative)
    group by session_id, measure`.execute(db)
  const facts = new Map<string, SessionFacts>()
  for (const { session_id, measure, value } of rows)
    facts.set(session_id, { ...facts.get(session_id), [measure]: value })
  return facts
}

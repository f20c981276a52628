import { isoTime, utcDate } from '../clock.ts'
import { formatUsd } from '../money.ts'
import type { Period } from '../period.ts'
import type { Db } from '../store/schema.ts'
import { loadNames, resolveFilter } from './names.ts'
import { listSessions, type Session } from './sessions.ts'

export type SessionsRequest = {
  readonly period: Period
  readonly client: string | undefined
  readonly limit: number
  readonly now: number
}

export type SessionsAnswer = {
  readonly period: {
    readonly name: string
    readonly from: string
    readonly to: string
    readonly timezone: string
  }
  readonly sessions: readonly Session[]
  readonly session_count: number
  readonly basis: 'metered'
  readonly notes: readonly string[]
  readonly as_of: string
  readonly has_more: boolean
}

/** @throws UserError for a client that nothing has been heard of. */
export async function answerSessions(db: Db, request: SessionsRequest): Promise<SessionsAnswer> {
  const { period, client, limit, now } = request
  const filter =
    client === undefined
      ? undefined
      : await resolveFilter(db, await loadNames(db), { client: [client] })
  const list = await listSessions(db, { period, clients: filter?.client, limit, now })
  const { sessions, count } = list
  return {
    period: { name: period.label, ...edgesOf(period), timezone: period.zone },
    sessions,
    session_count: count,
    basis: 'metered',
    notes: notesOf(list),
    as_of: isoTime(now),
    has_more: count > sessions.length,
  }
}

function notesOf(list: Awaited<ReturnType<typeof listSessions>>): string[] {
  const { sessions, count, nanos, without_session_nanos } = list
  const notes: (string | false)[] = [
    count === 0 &&
      'No telemetry, log or proxied request of a session is recorded in this period. outlay env prints what to set so that an assistant sends its usage here; get_status says what has arrived.',
    count > sessions.length &&
      `${count - sessions.length === 1 ? '1 more session is' : `${count - sessions.length} more sessions are`} left out; all ${count} together are worth ${formatUsd(nanos)}.`,
    without_session_nanos > 0n &&
      `${formatUsd(without_session_nanos)} was used without a session that is known.`,
    sessions.some(({ subscription_list_value_usd }) => subscription_list_value_usd) &&
      'Use that seats pay for is shown at list value and is in no cost.',
    sessions.some(({ requests }) => requests === undefined) &&
      'Sessions without a number of requests are known from metrics alone.',
    sessions.some(({ unpriced_requests }) => unpriced_requests > 0) &&
      'Unpriced requests add nothing to the cost.',
  ]
  return notes.filter((note) => note !== false)
}

function edgesOf({ days, start_at, end_at }: Period): { from: string; to: string } {
  if (days) return { from: utcDate(days.start), to: utcDate(days.end) }
  return { from: isoTime(start_at), to: isoTime(end_at) }
}

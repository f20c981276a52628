import { DAY_MS, HOUR_MS, isoTime, utcDate } from '../clock.ts'
import { formatUsd } from '../money.ts'
import { QUARTER_MS, reportRange } from '../period.ts'
import type { Db } from '../store/schema.ts'
import { listLateAdjustments } from './revision.ts'
import type { SpendResult } from './spend.ts'
import { type Group, isByHour, matches, type SpendQuery } from './spend-query.ts'
import { costOf, noSums } from './sums.ts'

type Facts = {
  readonly subscriptions: bigint
  readonly omitted: readonly Group[]
  readonly now: number
}

/** What a reader must know to trust the figures: each sentence names something they leave out or mix. */
export async function listSpendNotes(
  db: Db,
  query: SpendQuery,
  result: SpendResult,
  { subscriptions, omitted, now }: Facts,
): Promise<string[]> {
  const { total, excluded, superseded, rest } = result

  const notes: (string | false | undefined)[] = [
    await emptyNote(db, query, result),
    await gapNote(db, query),
    ...result.unread.map(
      ({ provider, since }) =>
        `${provider} could not be read since ${isoTime(since).slice(0, 16)}Z: from then on only what telemetry and the proxy saw of it counts. get_status says why.`,
    ),
    total.billed_nanos !== 0n &&
      total.metered_nanos !== 0n &&
      `${formatUsd(total.billed_nanos)} is what providers reported; ${formatUsd(total.metered_nanos)} is usage at list price for days whose cost is not complete yet.`,
    ...(await lateNotes(db, query)),
    total.unpriced_requests > 0 && (await unpricedNote(db, query, total.unpriced_requests)),
    total.allocated_nanos !== 0n && (await allocatedNote(db, query, total.allocated_nanos)),
    ...(await dailyNotes(db, query)),
    total.uncounted_rows > 0 &&
      'Some sources do not count requests; the number of requests is a lower bound.',
    ...excluded.map(
      ({ provider, requests }) =>
        `${requests} ${provider} requests seen by telemetry are part of what the provider reports and are not added.`,
    ),
    superseded.entries > 0 &&
      `${superseded.entries} records of requests that a better source told of as well, worth ${formatUsd(superseded.nanos)}, are not added.`,
    total.byok_nanos !== 0n &&
      `${formatUsd(total.byok_nanos)} of inference with your own vendor keys is billed by those vendors and not included.`,
    total.other_currency_rows > 0 &&
      `${total.other_currency_rows} cost rows are not in USD and not included.`,
    subscriptions > 0n &&
      `Subscription use worth ${formatUsd(subscriptions)} at list price is not included: its seats are billed apart.`,
    (omitted.length > 0 || rest !== undefined) &&
      `${rest ? 'More than ' : ''}${omitted.length} more rows, ${formatUsd(omitted.reduce((sum, group) => sum + costOf(group.sums), costOf(rest ?? noSums())))} together, are left out; raise limit or filter.`,
    partialNote(query, now),
  ]
  return notes.filter((note): note is string => Boolean(note))
}

/** The list value of coding-assistant use that seats pay for, as reported: a figure of its own, in no total. */
export async function sumSubscriptions(db: Db, { period, filter }: SpendQuery): Promise<bigint> {
  const { days } = period
  const is_broken_out = ['model', 'provider_key', 'workspace', 'session', 'project'] as const
  if (!days || is_broken_out.some((name) => filter[name])) return 0n
  const rows = await db
    .selectFrom('assistant_day')
    .innerJoin('sync_stream', 'sync_stream.id', 'assistant_day.stream_id')
    .innerJoin('connection', 'connection.id', 'sync_stream.connection_id')
    .select((eb) => [
      'connection.provider',
      eb.cast<string>(eb.fn.sum('estimated_nanos'), 'text').as('nanos'),
    ])
    .where('billing_mode', '=', 'subscription')
    .where('bucket_start', '>=', days.start)
    .where('bucket_start', '<', days.end)
    .groupBy('connection.provider')
    .execute()
  return rows
    .filter(({ provider }) => matches(filter.provider, provider))
    .reduce((sum, { nanos }) => sum + BigInt(nanos), 0n)
}

async function emptyNote(
  db: Db,
  { filter }: SpendQuery,
  { groups, views }: SpendResult,
): Promise<string | undefined> {
  if (groups.size > 0) return undefined
  const connections = await db
    .selectFrom('connection')
    .select('provider')
    .where('removed_at', 'is', null)
    .execute()
  if (connections.length === 0 && views.length === 0)
    return 'Nothing is recorded: no provider is connected and no telemetry has arrived. Use connect_provider, or run: outlay connect <provider>.'
  if (Object.keys(filter).length > 0) return 'Nothing matches this filter in this period.'
  return 'Nothing is recorded in this period. get_status says what has been read and what failed.'
}

/** A period that begins before what has been read. */
async function gapNote(db: Db, { period, filter }: SpendQuery): Promise<string | undefined> {
  const rows = await db
    .selectFrom('sync_stream')
    .innerJoin('connection', 'connection.id', 'sync_stream.connection_id')
    .select(['connection.provider', 'covered_from', 'sync_stream.is_backfilled'])
    .where('connection.removed_at', 'is', null)
    .where('duplicate_of', 'is', null)
    .where('view', 'in', ['cost', 'usage', 'both'])
    .execute()
  const { start } = reportRange(period)
  const late = rows.filter(
    ({ provider, covered_from }) =>
      matches(filter.provider, provider) &&
      (covered_from === null || covered_from > start + DAY_MS),
  )
  if (late.length === 0) return undefined
  const providers = [...new Set(late.map(({ provider }) => provider))].join(', ')
  const starts = late.map(({ covered_from }) => covered_from)
  const since = starts.includes(null)
    ? 'not been read completely'
    : `been read back to ${utcDate(Math.max(...starts.map(Number)))} only`
  const advice = late.every(({ is_backfilled }) => is_backfilled === 1)
    ? `For older days run: outlay sync --since ${utcDate(start)}.`
    : 'The backfill goes on by itself.'
  return `${providers} has ${since}, so earlier days of this period may be missing. ${advice}`
}

async function unpricedNote(db: Db, { period }: SpendQuery, count: number): Promise<string> {
  const { start, end } = reportRange(period)
  const buckets = await db
    .selectFrom('usage_bucket')
    .innerJoin('series', 'series.id', 'usage_bucket.series_id')
    .select('series.model')
    .distinct()
    .where('price_rule', 'is', null)
    .where('bucket_start', '>=', start)
    .where('bucket_start', '<', end)
    .limit(10)
    .execute()
  const entries = await db
    .selectFrom('rollup_entry')
    .select('model')
    .distinct()
    .where('unpriced_requests', '>', 0)
    .where('quarter', '>=', Math.floor(start / QUARTER_MS))
    .where('quarter', '<', Math.ceil(end / QUARTER_MS))
    .limit(10)
    .execute()
  const models = [
    ...new Set([...buckets, ...entries].map(({ model }) => model || 'usage without a model')),
  ]
  return `${count} requests have no known price (${models.join(', ')}) and add nothing to the cost. Prices can be set in prices.json.`
}

/** What a question asks to break out, and the column in which a cost report may leave it open. */
const OPEN_COLUMNS = { provider_key: 'api_key', user: 'user', model: 'model' } as const
const OPEN_WORDS = { provider_key: 'a key', user: 'a user', model: 'a model' } as const

/** Only of what the question is about: most bills name no user, and who asks by model need not know. */
async function allocatedNote(
  db: Db,
  { group_by, filter }: SpendQuery,
  nanos: bigint,
): Promise<string | undefined> {
  const open: string[] = []
  for (const name of ['provider_key', 'user', 'model'] as const) {
    if (!group_by.includes(name) && !filter[name]) continue
    const found = await db
      .selectFrom('series')
      .innerJoin('sync_stream', 'sync_stream.id', 'series.stream_id')
      .select('series.id')
      .where('view', 'in', ['cost', 'both'])
      .where('component', 'is not', null)
      .where(`series.${OPEN_COLUMNS[name]}`, 'is', null)
      .limit(1)
      .executeTakeFirst()
    if (found) open.push(OPEN_WORDS[name])
  }
  if (open.length === 0) return undefined
  return `${formatUsd(nanos)} was reported without ${open.join(' or ')} and is split by usage shares.`
}

/** Reports that have no hours, in an answer that is made of hours. */
async function dailyNotes(db: Db, query: SpendQuery): Promise<string[]> {
  if (!isByHour(query)) return []
  const { start_at, end_at } = query.period
  const rows = await db
    .selectFrom('usage_bucket')
    .innerJoin('sync_stream', 'sync_stream.id', 'usage_bucket.stream_id')
    .innerJoin('connection', 'connection.id', 'sync_stream.connection_id')
    .select(['connection.provider', 'stream'])
    .distinct()
    .where('bucket_ms', '>', HOUR_MS)
    .where('bucket_start', '>', start_at - DAY_MS)
    .where('bucket_start', '<', end_at)
    .where('connection.duplicate_of', 'is', null)
    .orderBy('provider')
    .orderBy('stream')
    .execute()
  const providers = Map.groupBy(rows, ({ provider }) => provider)
  return [...providers]
    .filter(([provider]) => matches(query.filter.provider, provider))
    .map(([provider, streams]) => {
      const names = streams.map(({ stream }) => stream).join(', ')
      return `${provider} tells some usage by the day only (${names}): it stands in the first hour of its day, and days that are not whole in this period are left out. Ask for whole days to have it.`
    })
}

/** Bills that changed after they seemed settled: what was reported before was right when it was said. */
async function lateNotes(db: Db, { period, filter, basis }: SpendQuery): Promise<string[]> {
  if (!period.days || basis === 'metered') return []
  const all = await listLateAdjustments(db, period.days)
  return all
    .filter(({ provider }) => matches(filter.provider, provider))
    .map(({ provider, days, nanos, last_seen_at }) => {
      const amount =
        nanos === 0n
          ? 'moving cost between rows, the total stays'
          : `by ${nanos > 0n ? '+' : ''}${formatUsd(nanos)} in all`
      return `${provider} changed the cost of ${days} ${days === 1 ? 'day' : 'days'} of this period more than 3 days afterwards, ${amount} (last seen ${utcDate(last_seen_at)}).`
    })
}

function partialNote({ period }: SpendQuery, now: number): string | undefined {
  const end = period.days?.end
  if (end === undefined || end <= now) return undefined
  return `${utcDate(end - DAY_MS)} is not over; provider days are UTC days.`
}

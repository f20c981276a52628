import { DAY_MS, isoTime, MINUTE_MS } from '../clock.ts'
import { UpstreamError } from '../errors.ts'
import { jitter } from '../ids.ts'
import { hasUnnamed, saveNames } from '../ledger/directory.ts'
import { listDoubtedBuckets } from '../ledger/quarantine.ts'
import { refreshStaleDays } from '../ledger/stale-day.ts'
import type { AdminApi, Get, Provider, Range, Report } from '../providers/provider.ts'
import { growYoungHeap } from '../young-heap.ts'
import { failureOf } from './failure.ts'
import { planBackfill, planLive } from './plan.ts'
import {
  DIRECTORY_EVERY_MS,
  DIRECTORY_STREAM,
  endBackfill,
  ensureStreams,
  getStream,
  listStreams,
  markBackfilled,
  markFailed,
  markOk,
  type SyncStream,
} from './stream.ts'
import { isOutOfReach, LeaseLostError, syncWindow, type WindowContext } from './window.ts'

export type SyncProgress = {
  readonly provider: string
  readonly stream: string
  /** The oldest instant that is stored without a gap. */
  readonly covered_from: number | null
  readonly backfill_from: number
  readonly rows: number
}

export type RunOptions = {
  /** Reads every stream, due or not. */
  readonly is_forced: boolean
  /** Moves the backfill's end to an older day. */
  readonly since?: number | undefined
  onProgress?(progress: SyncProgress): void
}

/** What one connection's run works with. */
export type RunContext = WindowContext & {
  readonly provider_info: Provider
  readonly admin: AdminApi
  readonly connection_id: string
  /** As `get`, but slowed to what a backfill may take of the provider. */
  readonly slow_get: Get
  readonly slow_pages: WindowContext['pages']
  /** Pauses the whole connection: its provider asked for it. */
  pause(until: number): Promise<void>
}

export type RunResult = {
  readonly rows: number
  readonly failures: readonly { readonly stream: string; readonly problem: string }[]
}

/**
 * One sync run of one connection: names first, then every due report up to now, then the backfill,
 * newest first and one window of each report in turn. A failing report stops only itself, except that
 * a provider that says "slow down" pauses all of them.
 */
export async function runConnection(context: RunContext, options: RunOptions): Promise<RunResult> {
  const { db, admin, connection_id } = context
  growYoungHeap()
  const now = context.now()
  await ensureStreams(db, connection_id, admin.reports, { now, since: options.since })
  const run = new Run(context, options)
  await run.attempt(await run.stream(DIRECTORY_STREAM), (stream) => run.names(stream))
  for (const report of admin.reports)
    await run.attempt(await run.stream(report.name), (stream) => run.live(stream, report))
  await refreshStaleDays(db)
  await run.backfill()
  await askForNames(context)
  return { rows: run.rows, failures: run.failures }
}

/**
 * Writes down on every stream that the connection as a whole cannot be read, for instance because its
 * key is refused before any report is asked for.
 */
export async function failConnection(
  context: Pick<RunContext, 'db' | 'provider_info' | 'admin' | 'connection_id' | 'now' | 'pause'>,
  error: UpstreamError,
): Promise<RunResult> {
  const { db, provider_info, admin, connection_id, now } = context
  await ensureStreams(db, connection_id, admin.reports, { now: now() })
  const failures: { stream: string; problem: string }[] = []
  for (const stream of await listStreams(db, connection_id)) {
    const failure = failureOf(error, provider_info, { ...stream, stream: 'all' }, now())
    await markFailed(db, stream.id, failure)
    failures[0] ??= { stream: 'all', problem: failure.problem }
    if (failure.status === 'paused') await context.pause(failure.next_due_at)
  }
  return { rows: 0, failures }
}

class Run {
  rows = 0
  readonly failures: { stream: string; problem: string }[] = []
  readonly #context: RunContext
  readonly #options: RunOptions
  readonly #failed = new Set<string>()
  #is_paused = false

  constructor(context: RunContext, options: RunOptions) {
    this.#context = { ...context, onRows: (count) => this.#count(count) }
    this.#options = options
  }

  async stream(name: string): Promise<SyncStream> {
    const streams = await listStreams(this.#context.db, this.#context.connection_id)
    const found = streams.find(({ stream }) => stream === name)
    if (!found) throw new Error(`no sync stream "${name}"`)
    return found
  }

  /** Does one step of a stream; what goes wrong is written down and stops only this stream. */
  async attempt(stream: SyncStream, step: (stream: SyncStream) => Promise<void>): Promise<void> {
    if (this.#is_paused || this.#failed.has(stream.stream)) return
    this.#context.signal.throwIfAborted()
    try {
      await step(stream)
    } catch (error) {
      if (this.#context.signal.aborted || error instanceof LeaseLostError) throw error
      if (!(error instanceof UpstreamError)) throw error
      await this.#writeDown(stream, error)
    }
  }

  async names(stream: SyncStream): Promise<void> {
    const { db, admin, get, now } = this.#context
    if (!this.#isDue(stream)) return
    const { entries, failures } = await admin.listNames(get)
    await saveNames(db, stream.connection_id, entries, now())
    if (failures[0]) throw failures[0]
    await markOk(db, stream.id, now(), now() + DIRECTORY_EVERY_MS)
  }

  async live(stream: SyncStream, report: Report): Promise<void> {
    const { db, now } = this.#context
    if (!this.#isDue(stream)) return
    const started_at = now()
    await db.updateTable('sync_stream').set({ started_at }).where('id', '=', stream.id).execute()
    const { is_forced } = this.#options
    const doubted = await listDoubtedBuckets(db, stream.id, { now: started_at, is_forced })
    const { windows, is_deep } = planLive(report, stream, started_at, doubted)
    for (const range of windows) await syncWindow(this.#context, stream, report, range)
    const every_ms = Math.round(report.every_ms * (1 + jitter() * 0.2))
    await markOk(db, stream.id, now(), started_at + every_ms, is_deep)
    await this.#report(stream)
  }

  async backfill(): Promise<void> {
    const { admin, slow_get, slow_pages } = this.#context
    const slow = { ...this.#context, get: slow_get, pages: slow_pages }
    let open: readonly Report[] = admin.reports
    while (open.length > 0) {
      const next: Report[] = []
      for (const report of open) {
        if (!this.#options.is_forced && (await this.#hasDueStream())) return
        const stream = await this.stream(report.name)
        const range = planBackfill(report, stream, this.#context.now())
        if (this.#is_paused || this.#failed.has(report.name)) continue
        if (!range) {
          if (stream.covered_from !== null) await markBackfilled(this.#context.db, stream.id)
          continue
        }
        let is_end = false
        await this.attempt(stream, async () => {
          is_end = !(await this.#reachesBack(slow, stream, report, range))
        })
        await this.#report(stream)
        if (!is_end) next.push(report)
      }
      await refreshStaleDays(this.#context.db)
      open = next
    }
  }

  /** Older than what the provider has a report for, there is nothing: the backfill ends there. */
  async #reachesBack(
    context: RunContext,
    stream: SyncStream,
    report: Report,
    range: Range,
  ): Promise<boolean> {
    try {
      await syncWindow(context, stream, report, range, true)
      return true
    } catch (error) {
      if (!isOutOfReach(error)) throw error
      await endBackfill(context.db, stream.id)
      return false
    }
  }

  #isDue(stream: SyncStream): boolean {
    return this.#options.is_forced || stream.next_due_at <= this.#context.now()
  }

  /** A long backfill lets live reads go first; the scheduler starts a new run at once. */
  async #hasDueStream(): Promise<boolean> {
    const streams = await listStreams(this.#context.db, this.#context.connection_id)
    return streams.some(
      (stream) => this.#isDue(stream) && !this.#failed.has(stream.stream) && !this.#is_paused,
    )
  }

  #count(count: number): void {
    this.rows += count
    this.#context.signal.throwIfAborted()
  }

  async #report({ id, stream }: SyncStream): Promise<void> {
    const { covered_from, backfill_from } = await getStream(this.#context.db, id)
    const provider = this.#context.provider
    this.#options.onProgress?.({ provider, stream, covered_from, backfill_from, rows: this.rows })
  }

  async #writeDown(stream: SyncStream, error: UpstreamError): Promise<void> {
    const { db, provider_info, now } = this.#context
    const failure = failureOf(error, provider_info, stream, now())
    this.#failed.add(stream.stream)
    if (!failure.is_minor) this.failures.push({ stream: stream.stream, problem: failure.problem })
    await markFailed(db, stream.id, failure)
    if (failure.status !== 'paused') return
    this.#is_paused = true
    await this.#context.pause(failure.next_due_at)
  }
}

/** Keys and workspaces that have no name yet bring the next reading of names forward. */
async function askForNames({ db, connection_id, now }: RunContext): Promise<void> {
  if (!(await hasUnnamed(db, connection_id, now() - 7 * DAY_MS))) return
  await db
    .updateTable('sync_stream')
    .set({ next_due_at: now() + 60 * MINUTE_MS })
    .where('connection_id', '=', connection_id)
    .where('stream', '=', DIRECTORY_STREAM)
    .where('next_due_at', '>', now() + 60 * MINUTE_MS)
    .execute()
}

export function formatProgress({ provider, stream, covered_from, rows }: SyncProgress): string {
  const since =
    covered_from === null ? 'nothing yet' : `back to ${isoTime(covered_from).slice(0, 10)}`
  return `${provider} ${stream}: ${since}, ${rows} rows`
}

import { DAY_MS, isoTime, MINUTE_MS } from '../clock.ts'
import { UpstreamError } from '../errors.ts'
import { jitter } from '../ids.ts'
import { hasUnnamed, saveNames } from '../ledger/directory.ts'
import type { AdminApi, Get, Provider, Report } from '../providers/provider.ts'
import { planBackfill, planLive } from './plan.ts'
import {
  DIRECTORY_EVERY_MS,
  DIRECTORY_STREAM,
  ensureStreams,
  getStream,
  listStreams,
  markBackfilled,
  markFailed,
  markOk,
  type SyncStream,
} from './stream.ts'
import { LeaseLostError, syncWindow, type WindowContext } from './window.ts'

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

const AUTH_RETRY_MS = 60 * MINUTE_MS
const FAILURE_RETRY_MAX_MS = 60 * MINUTE_MS

/**
 * One sync run of one connection: names first, then every due report up to now, then the backfill,
 * newest first and one window of each report in turn. A failing report stops only itself, except that
 * a provider that says "slow down" pauses all of them.
 */
export async function runConnection(context: RunContext, options: RunOptions): Promise<RunResult> {
  const { db, admin, connection_id } = context
  const now = context.now()
  await ensureStreams(db, connection_id, admin.reports, { now, since: options.since })
  const run = new Run(context, options)
  await run.attempt(await run.stream(DIRECTORY_STREAM), (stream) => run.names(stream))
  for (const report of admin.reports)
    await run.attempt(await run.stream(report.name), (stream) => run.live(stream, report))
  await run.backfill()
  await askForNames(context)
  return { rows: run.rows, failures: run.failures }
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
    const { windows, is_deep } = planLive(report, stream, started_at)
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
        await this.attempt(stream, () => syncWindow(slow, stream, report, range, true))
        await this.#report(stream)
        next.push(report)
      }
      open = next
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
    const problem = describe(error, provider_info)
    this.failures.push({ stream: stream.stream, problem })
    this.#failed.add(stream.stream)
    const retry_at = now() + retryDelay(error, stream.failures)
    await markFailed(db, stream.id, {
      status: statusOf(error),
      problem,
      http_status: error.status || null,
      request_id: error.detail.request_id ?? null,
      next_due_at: retry_at,
    })
    if (error.status !== 429) return
    this.#is_paused = true
    await this.#context.pause(retry_at)
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

function statusOf({ status }: UpstreamError): 'auth_failed' | 'paused' | 'failed' {
  if (status === 401 || status === 403) return 'auth_failed'
  return status === 429 ? 'paused' : 'failed'
}

function retryDelay(error: UpstreamError, failures: number): number {
  if (statusOf(error) === 'auth_failed') return AUTH_RETRY_MS
  if (error.status === 429) return error.detail.retry_after_ms ?? MINUTE_MS
  return Math.min(2 ** failures * MINUTE_MS, FAILURE_RETRY_MAX_MS)
}

/** A sentence that says what happened and what to do about it. */
function describe(error: UpstreamError, { id, name, admin }: Provider): string {
  const { status, detail } = error
  if (status === 401)
    return `${name} does not accept the key any more. Needed: ${admin?.key_help.kind}. Make one at ${admin?.key_help.url} and run: outlay connect ${id}`
  if (status === 403)
    return `The key may not read this at ${name}. Needed: ${admin?.key_help.kind}. Make one at ${admin?.key_help.url} and run: outlay connect ${id}`
  if (status === 429)
    return `${name} asked to slow down; the sync goes on by itself in ${Math.ceil((detail.retry_after_ms ?? MINUTE_MS) / 1000)} s.`
  return `${error.message} The sync tries again by itself; what was read before stays.`
}

export function formatProgress({ provider, stream, covered_from, rows }: SyncProgress): string {
  const since =
    covered_from === null ? 'nothing yet' : `back to ${isoTime(covered_from).slice(0, 10)}`
  return `${provider} ${stream}: ${since}, ${rows} rows`
}

import type { App } from '../app.ts'
import { parseInstant } from '../clock.ts'
import { UserError } from '../errors.ts'
import type { SyncProgress } from '../sync/run.ts'
import { formatProgress } from '../sync/run.ts'
import { listReadable, requireAdmin, syncConnections } from './sync.ts'

export type SyncAsked = {
  readonly provider?: string | undefined
  readonly since?: string | undefined
  readonly dry_run?: boolean
  progress?:
    | ((done: number, total: number | undefined, message: string) => Promise<void>)
    | undefined
}

export type SyncAnswer = {
  state: 'done' | 'running' | 'failed' | 'nothing_connected' | 'dry_run'
  rows: number
  connections: string[]
  failures: string[]
}

export type SyncHandle = {
  /** The outcome, or `running` when the time is up; the run goes on either way. */
  within(wait_ms: number): Promise<SyncAnswer>
}

/**
 * Starts a run that a person asked for. It outlives the call that asked.
 * @throws UserError for an unknown provider or a date that is none.
 */
export async function startSync(app: App, asked: SyncAsked): Promise<SyncHandle> {
  if (asked.provider !== undefined) requireAdmin(app, asked.provider)
  const since = asked.since === undefined ? undefined : parseSince(asked.since, app.clock.now())
  const readable = await listReadable(app, asked.provider)
  const connections = readable.map(({ provider, name }) => `${provider} "${name}"`)
  const fixed = (state: SyncAnswer['state']): SyncHandle => ({
    within: async () => ({ state, rows: 0, connections, failures: [] }),
  })
  if (asked.dry_run) return fixed('dry_run')
  if (connections.length === 0) return fixed('nothing_connected')
  return run(app, { ...asked, since, connections })
}

function run(
  app: App,
  asked: Omit<SyncAsked, 'since'> & { since: number | undefined; connections: string[] },
): SyncHandle {
  let rows = 0
  let is_waiting = true
  app.background_sync.runs_before += 1
  app.background_sync.abort?.abort()
  const run = syncConnections(app, {
    provider: asked.provider,
    since: asked.since,
    is_forced: true,
    is_background: false,
    signal: app.closing,
    onProgress(step: SyncProgress) {
      rows = Math.max(rows, step.rows)
      if (is_waiting) asked.progress?.(rows, undefined, formatProgress(step)).catch(() => {})
    },
  }).finally(() => {
    app.background_sync.runs_before -= 1
  })
  const answer = run.then((outcomes): SyncAnswer => {
    const failures = outcomes.flatMap((one) =>
      one.failures.map(({ stream, problem }) => `${one.provider} ${stream}: ${problem}`),
    )
    // Another process reads it at this moment: that is no failure, but not done either.
    const is_busy = outcomes.some((one) => one.is_busy)
    return {
      state: failures.length > 0 ? 'failed' : is_busy ? 'running' : 'done',
      rows: outcomes.reduce((sum, one) => sum + one.rows, 0),
      connections: asked.connections,
      failures,
    }
  })
  answer.catch(() => {})
  return {
    async within(wait_ms) {
      const { connections } = asked
      const timeout = app.clock
        .sleep(wait_ms, app.closing)
        .then((): SyncAnswer => ({ state: 'running', rows, connections, failures: [] }))
      try {
        return await Promise.race([answer, timeout])
      } finally {
        is_waiting = false
      }
    },
  }
}

function parseSince(text: string, now: number): number {
  try {
    const at = parseInstant(text)
    if (at < now) return at
  } catch {}
  throw new UserError(`since: "${text}" must be a past date like 2026-01-31.`)
}

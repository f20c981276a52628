import { closeLostHolds, hasOverdueHolds } from '../budgets/heal.ts'
import { hasOldHolds, pruneHolds } from '../budgets/prune.ts'
import { DAY_MS, isoTime } from '../clock.ts'
import { hasPending, settleEntries } from '../ledger/pending.ts'
import { backUp, listBackups, pruneBackups } from '../store/backup.ts'
import type { Db } from '../store/schema.ts'
import { evidenceJob } from './evidence.ts'
import { importJob } from './import.ts'
import { mirrorJob } from './mirror.ts'
import type { Job } from './scheduler.ts'
import { syncConnections } from './sync.ts'

const BACKUPS_KEPT = 3

/** Reads what the providers reported since, and goes on with the backfill. */
const syncJob: Job = {
  name: 'sync',
  async isDue({ db, clock, config, background_sync }) {
    if (background_sync.runs_before > 0) return false
    const now = clock.now()
    const due = await db
      .selectFrom('connection')
      .leftJoin('sync_stream', 'sync_stream.connection_id', 'connection.id')
      .select('connection.id')
      .where('connection.removed_at', 'is', null)
      .where('connection.duplicate_of', 'is', null)
      .where((eb) => eb.or([eb('paused_until', 'is', null), eb('paused_until', '<=', now)]))
      .where((eb) =>
        eb.or([
          eb('sync_stream.id', 'is', null),
          eb('next_due_at', '<=', now),
          eb('started_at', '>', now),
          eb.and([
            eb('status', '=', 'ok'),
            eb('is_backfilled', '=', 0),
            eb('view', '!=', 'directory'),
          ]),
        ]),
      )
      .limit(1)
      .executeTakeFirst()
    const has_new_key = Object.values(config.providers).some(({ admin_key }) => admin_key)
    return due !== undefined || (has_new_key && !(await hasEnvironmentConnection(db)))
  },
  async run(app, signal) {
    const abort = new AbortController()
    app.background_sync.abort = abort
    try {
      await syncConnections(app, {
        is_forced: false,
        is_background: true,
        signal: AbortSignal.any([signal, abort.signal]),
      })
    } catch (error) {
      // A person's own run took over; what is left is due again at the next tick.
      if (!abort.signal.aborted) throw error
    } finally {
      app.background_sync.abort = undefined
    }
  },
}

async function hasEnvironmentConnection(db: Db): Promise<boolean> {
  const row = await db
    .selectFrom('connection')
    .select('id')
    .where('origin', '=', 'environment')
    .where('removed_at', 'is', null)
    .executeTakeFirst()
  return row !== undefined
}

/** A copy a day, so that a damaged file costs at most a day of what cannot be synced again. */
const backupJob: Job = {
  name: 'backup',
  async isDue({ store_path, clock }) {
    if (store_path === ':memory:') return false
    const [latest] = listBackups(store_path)
    return latest === undefined || clock.wallNow() - latest.at > DAY_MS
  },
  async run({ store_path, store_driver, clock }) {
    await backUp(store_path, store_driver, `daily-${isoTime(clock.wallNow()).slice(0, 10)}`)
    pruneBackups(store_path, 'daily-', BACKUPS_KEPT)
  },
}

/** Holds of a process that is gone stay charged; this closes them once their request is certainly over. */
const healJob: Job = {
  name: 'heal',
  isDue: ({ db, clock }) => hasOverdueHolds(db, clock.now()),
  async run({ db, holder, clock, log, catalog }) {
    const closed = await closeLostHolds({ db, holder, catalog: await catalog(), now: clock.now() })
    if (closed > 0) log.warn('holds of a process that is gone stay charged', { holds: closed })
  },
}

/** The proxy does not wait for what an entry means to others; whoever asks for totals should not either. */
const settleJob: Job = {
  name: 'settle',
  isDue: ({ db }) => hasPending(db),
  run: ({ db }) => settleEntries(db),
}

/** Each request keeps its ledger entry; what it was held with goes after some weeks. */
const pruneJob: Job = {
  name: 'prune',
  isDue: ({ db, clock }) => hasOldHolds(db, clock.now()),
  run: ({ db, clock }) => pruneHolds(db, clock.now()),
}

export const jobs: readonly Job[] = [
  syncJob,
  backupJob,
  importJob,
  settleJob,
  healJob,
  evidenceJob,
  pruneJob,
  mirrorJob,
]

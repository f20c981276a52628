import type { App } from './app.ts'
import { watchCrossings } from './budgets/crossing.ts'
import { messageOf, UserError } from './errors.ts'
import { jobs } from './jobs/index.ts'
import { OWNER_LEASE, startScheduler } from './jobs/scheduler.ts'
import type { OwnerDetail } from './jobs/status.ts'
import { openSidePort, type SidePort } from './side-port.ts'

export type Runtime = {
  /** Ready when the first decision on who owns the store has been made. */
  readonly started: Promise<void>
  sidePort(): SidePort | undefined
  /** Why this owner's side port is not open. */
  problem(): UserError | undefined
  close(): Promise<void>
}

const PORT_RETRY_MS = 2_000

/**
 * Runs the jobs and the side port in this process as long as no other process of the store does, and
 * takes over when that one goes away. A taken port does not stop the jobs; it is tried again.
 */
export function startRuntime(app: App): Runtime {
  let side_port: SidePort | undefined
  let problem: UserError | undefined
  let retry: NodeJS.Timeout | undefined
  let thresholds: ReturnType<typeof watchCrossings> | undefined
  let resolveStarted = () => {}
  const started = new Promise<void>((resolve) => {
    resolveStarted = resolve
  })

  const scheduler = startScheduler(app, jobs, {
    async onOwner(is_owner) {
      if (is_owner) {
        thresholds ??= watchCrossings(app)
        await openPort()
      } else await stop()
    },
    onFirstTick: () => resolveStarted(),
  })

  async function openPort(): Promise<void> {
    if (!app.config.has_side_port || side_port) return
    try {
      side_port = await openSidePort(app)
      problem = undefined
      await tell({ side_port: side_port.url })
      app.log.info('listening', { url: side_port.url })
    } catch (error) {
      problem = error instanceof UserError ? error : undefined
      await tell({ side_port_problem: messageOf(error) })
      app.log.warn(messageOf(error))
      retry = setTimeout(() => {
        if (scheduler.isOwner()) void openPort()
      }, PORT_RETRY_MS)
      retry.unref()
    }
  }

  async function closePort(): Promise<void> {
    clearTimeout(retry)
    const closing = side_port
    side_port = undefined
    await closing?.close()
  }

  async function stop(): Promise<void> {
    await closePort()
    await thresholds?.close()
    thresholds = undefined
  }

  /** The lease row carries what the other processes must know of the owner. */
  async function tell(detail: OwnerDetail): Promise<void> {
    await app.db
      .updateTable('lease')
      .set({ detail: JSON.stringify(detail) })
      .where('name', '=', OWNER_LEASE)
      .where('owner', '=', app.holder.id)
      .execute()
  }

  return {
    started,
    sidePort: () => side_port,
    problem: () => problem,
    async close() {
      await stop()
      await scheduler.close()
    },
  }
}

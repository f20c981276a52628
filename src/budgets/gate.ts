import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { usdFromNanos } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { type DriverName, isStoreTrouble } from '../store/driver.ts'
import type { Holder } from '../store/lease.ts'
import type { Admission, Gate } from './admission.ts'
import { createQueue } from './gate-queue.ts'
import { type GateStore, openGateStore } from './gate-store.ts'
import { createTill } from './till.ts'
import { openWalSync } from './wal-sync.ts'

/** What of the program the gate needs; an `App` is one. */
export type GateParts = {
  /** A file that `openStore` has opened; never `:memory:`. */
  readonly store_path: string
  readonly store_driver: DriverName
  readonly clock: Clock
  readonly holder: Holder
  readonly log: Log
  catalog(): Promise<Catalog>
}

/**
 * Opens the gate on a connection of its own. What comes in one turn of the event loop is one
 * transaction: a hold is committed when `admit` returns, an entry when `settle` does.
 * A store that is locked or full denies what a blocking budget binds, and lets the rest through; their
 * bookings wait in memory.
 */
export async function createGate(parts: GateParts): Promise<Gate> {
  const { store_path, store_driver, clock, holder, log } = parts
  const store = openGateStore(store_path, store_driver, await parts.catalog())
  await registerOwner(store, parts)
  const till = createTill({
    store,
    owner: holder.id,
    onOvershoot: ({ hold_id, bound_nanos }, cost) =>
      log.warn('a request cost more than its bound', {
        hold: hold_id,
        bound_usd: usdFromNanos(bound_nanos),
        cost_usd: usdFromNanos(cost),
      }),
  })
  const wal = openWalSync(store_path, (error) =>
    log.warn('the disk did not take what was written', { reason: messageOf(error) }),
  )
  const queue = createQueue({ till, wal, clock, log })
  return {
    admit: (request) => queue.add({ kind: 'admit', request }) as Promise<Admission>,
    settle: (settlement) => queue.add({ kind: 'settle', settlement }) as Promise<undefined>,
    release: (hold_id) => queue.add({ kind: 'release', hold_id }) as Promise<undefined>,
    async close() {
      const lost = await queue.drain()
      if (lost > 0) log.warn('bookings were lost: the store could not be written', { count: lost })
      await wal.close()
      store.close()
    },
  }
}

const REGISTER_ATTEMPTS = 250

async function registerOwner(store: GateStore, { holder, clock }: GateParts): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      store.insertOwner(holder, clock.wallNow())
      return
    } catch (error) {
      if (!isStoreTrouble(error) || attempt === REGISTER_ATTEMPTS) throw error
      await clock.sleep(20)
    }
  }
}

import type { Clock } from '../clock.ts'
import { countReceived } from '../ledger/receiver.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Db } from '../store/schema.ts'
import type { BookAll } from './inbox.ts'

/** Counts what came; what it says is not read yet. */
export function createBookAll({
  db,
}: {
  db: Db
  catalog(): Promise<Catalog>
  clock: Clock
}): BookAll {
  return async function bookAll(arrivals) {
    for (const { batch, context } of arrivals) {
      const items =
        batch.signal === 'logs'
          ? batch.records
          : batch.signal === 'traces'
            ? batch.spans
            : batch.points
      const client = items[0]?.resource['service.name']
      const counted = {
        signal: batch.signal,
        client: typeof client === 'string' ? client : null,
        accepted: 0,
        ignored: items.length,
        rejected: 0,
      }
      await countReceived(db, counted, context.received_at)
    }
    return arrivals.map(() => ({ rejected: 0, message: '' }))
  }
}

import type { Clock } from '../clock.ts'
import { countReceived } from '../ledger/receiver.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Db } from '../store/schema.ts'
import type { Book } from './inbox.ts'

/** Counts what came; what it says is not read yet. */
export function createBook({ db }: { db: Db; catalog(): Promise<Catalog>; clock: Clock }): Book {
  return async function book(batch, { received_at }) {
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
    await countReceived(db, counted, received_at)
    return { rejected: 0, message: '' }
  }
}

import type { Db } from '../store/schema.ts'

export type Received = {
  readonly signal: string
  readonly client: string | null
  readonly accepted: number
  readonly duplicates?: number
  readonly ignored: number
  readonly rejected: number
  /** Items whose clock was far from ours. */
  readonly skewed?: number
}

/** Counts what a receiver took in, so that it can be said what arrived last and what is missing. */
export async function countReceived(db: Db, received: Received, at: number): Promise<void> {
  const { signal, accepted, duplicates = 0, ignored, rejected, skewed = 0 } = received
  const client = received.client ?? 'unknown'
  await db
    .insertInto('receiver')
    .values({
      signal,
      client,
      accepted,
      duplicates,
      ignored,
      rejected,
      skewed,
      last_received_at: at,
    })
    .onConflict((conflict) =>
      conflict.columns(['signal', 'client']).doUpdateSet((eb) => ({
        accepted: eb('receiver.accepted', '+', accepted),
        duplicates: eb('receiver.duplicates', '+', duplicates),
        ignored: eb('receiver.ignored', '+', ignored),
        rejected: eb('receiver.rejected', '+', rejected),
        skewed: eb('receiver.skewed', '+', skewed),
        last_received_at: at,
      })),
    )
    .execute()
}

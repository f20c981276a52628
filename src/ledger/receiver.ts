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

/**
 * Requests that a receiver did not take, in rows of the same table: `misdirected` went to a path where no
 * telemetry is taken, the others were answered with a status. `refused_temporality` are points of metrics
 * that did not say whether they are sums since the last point or since the start.
 */
export type RefusedKind = 'misdirected' | 'refused_temporality' | `refused_${number}`

export type Refused = {
  readonly kind: RefusedKind
  readonly client: string
  readonly requests: number
}

export async function countRefused(db: Db, refused: Refused, at: number): Promise<void> {
  const { kind, client, requests } = refused
  await countReceived(db, { signal: kind, client, accepted: 0, ignored: 0, rejected: requests }, at)
}

export async function listRefused(db: Db): Promise<(Refused & { last_at: number })[]> {
  const rows = await db
    .selectFrom('receiver')
    .select(['signal', 'client', 'rejected', 'last_received_at'])
    .where((eb) => eb.or([eb('signal', '=', 'misdirected'), eb('signal', 'like', 'refused%')]))
    .orderBy('last_received_at', 'desc')
    .limit(50)
    .execute()
  return rows.map(({ signal, client, rejected, last_received_at }) => ({
    kind: signal as RefusedKind,
    client,
    requests: rejected,
    last_at: last_received_at,
  }))
}

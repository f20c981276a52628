import { createBookAll } from '../../src/otlp/book.ts'
import type { Signal } from '../../src/otlp/decode-batch.ts'
import type { BookAll } from '../../src/otlp/inbox.ts'
import { SIEVES } from '../../src/otlp/sieve.ts'
import { toProtobuf } from './descriptors.ts'
import { type Answer, JSON_TYPE, PROTOBUF, send, startReceiver } from './fixture.ts'
import { catalog, openBook } from './telemetry.ts'
import type { Json } from './transcode.ts'

export const ENCODINGS = ['protobuf', 'JSON'] as const
export type EncodingName = (typeof ENCODINGS)[number]

/** The receiver on a real socket in front of a real ledger. `around` may come between the two. */
export async function openLedgerReceiver(around: (bookAll: BookAll) => BookAll = (same) => same) {
  const ledger = await openBook()
  const { db, clock } = ledger
  const bookAll = around(createBookAll({ db, clock, catalog: async () => catalog }))
  const { url } = await startReceiver({ bookAll, clock, sieves: SIEVES })
  return {
    ...ledger,
    url,
    /** One export request, which is given as JSON. */
    post: (signal: Signal, encoding: EncodingName, json: Json): Promise<Answer> =>
      send(
        `${url}/v1/${signal}`,
        encoding === 'JSON'
          ? { headers: JSON_TYPE, body: Buffer.from(JSON.stringify(json)) }
          : { headers: PROTOBUF, body: toProtobuf(signal, json) },
      ),
  }
}

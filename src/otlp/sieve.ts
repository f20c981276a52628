import type { Item } from './attributes.ts'
import type { RequestMap } from './clients/client.ts'
import { clients, findClient, findMap, nameOf } from './clients/index.ts'
import type { Signal } from './decode-batch.ts'
import type { LogRecord, Scope } from './signal.ts'

/** What is known of an item before it is read: of its attributes only those that decide. */
export type Glimpse = Item & { readonly scope: Scope }

/** Tells items that can be of a request from the nine in ten that are not and need no reading. */
export type Sieve = {
  /** The attributes that decide. */
  readonly keys: ReadonlySet<string>
  /** Whose it is, where it tells of no request; undefined: it is to be read. */
  ignoredAs(glimpse: Glimpse, name: string): string | undefined
}

const EVENT_NAME = 'event.name'

/** The attribute goes first: some clients fill the record's own field with junk. */
export function eventName({
  attributes,
  event_name,
  body,
}: Pick<LogRecord, 'attributes' | 'event_name' | 'body'>): string {
  const named = attributes[EVENT_NAME]
  return typeof named === 'string' ? named : event_name || body || ''
}

/** Absent: all items are read. */
export type Sieves = Readonly<Partial<Record<Signal, Sieve>>>

/** What all clients together leave to be read; points of metrics are few. */
export const SIEVES: Sieves = { logs: createSieve('logs'), traces: createSieve('spans') }

function createSieve(kind: 'logs' | 'spans'): Sieve {
  const deciding = ({ where = {}, needs = [] }: RequestMap) => [...Object.keys(where), ...needs]
  const keys = clients.flatMap((client) => [
    ...(client.attributes ?? []),
    ...client[kind].flatMap(deciding),
  ])
  return {
    keys: new Set([EVENT_NAME, ...keys]),
    ignoredAs(glimpse, name) {
      const client = findClient(glimpse, name)
      return findMap(client, kind, glimpse, name) ? undefined : nameOf(client)
    },
  }
}

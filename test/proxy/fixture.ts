import { createServer, type Server } from 'node:http'
import type { Admission, AdmitRequest, Gate, Settlement } from '../../src/budgets/admission.ts'
import { fixedClock, systemClock } from '../../src/clock.ts'
import type { KeyProblem, ProxyKey } from '../../src/keys/proxy-key.ts'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { recordEvents } from '../../src/ledger/record.ts'
import { createLog } from '../../src/log.ts'
import type { Nanos } from '../../src/money.ts'
import { type Catalog, loadCatalog } from '../../src/pricing/catalog.ts'
import { providers } from '../../src/providers/index.ts'
import { type ProxyDeps, proxyRoute } from '../../src/proxy/route.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open.ts'
import type { Db } from '../../src/store/schema.ts'

export const WRAPPED = 'olk_test_9b1f0c2d7e6a4f3b8c5d1e2f3a4b5c6d'

/** One budget over everything, in memory; the ledger's rows go into the real store. */
export type MemoryGate = Gate & {
  readonly admitted: AdmitRequest[]
  readonly settled: Settlement[]
  readonly released: string[]
  readonly open: ReadonlyMap<string, Nanos>
  spent(): Nanos
  held(): Nanos
}

export function createMemoryGate(
  db: Db,
  catalog: Catalog,
  { limit_nanos = null as Nanos | null, is_blocking = true } = {},
): MemoryGate {
  const admitted: AdmitRequest[] = []
  const settled: Settlement[] = []
  const released: string[] = []
  const open = new Map<string, Nanos>()
  let spent = 0n
  let batch: UsageEvent[] = []
  let flushing: Promise<unknown> | undefined
  /** Rows of one turn of the event loop go into the store together. */
  function record(events: readonly UsageEvent[]): Promise<unknown> {
    batch.push(...events)
    flushing ??= new Promise((resolve) => setImmediate(resolve)).then(() => {
      const rows = batch
      batch = []
      flushing = undefined
      return recordEvents(db, catalog, rows, rows[0]?.occurred_at ?? 0)
    })
    return flushing
  }
  const held = () => [...open.values()].reduce((sum, one) => sum + one, 0n)
  return {
    admitted,
    settled,
    released,
    open,
    spent: () => spent,
    held,
    async admit(request): Promise<Admission> {
      admitted.push(request)
      if (limit_nanos === null || !is_blocking)
        return { kind: 'admitted', hold_id: null, remaining_nanos: null }
      const affordable_nanos = limit_nanos - spent - held()
      const budget = {
        budget_id: 'bud_1',
        name: 'team-a monthly',
        limit_nanos,
        spent_nanos: spent,
        held_nanos: held(),
        resets_at: Date.UTC(2026, 11, 1),
      }
      const { bound_nanos, request_id } = request
      if (bound_nanos === null)
        return { kind: 'denied', reason: 'unbounded', budget, affordable_nanos }
      if (bound_nanos > affordable_nanos)
        return { kind: 'denied', reason: 'budget_exceeded', budget, affordable_nanos }
      open.set(`hold_${request_id}`, bound_nanos)
      return {
        kind: 'admitted',
        hold_id: `hold_${request_id}`,
        remaining_nanos: affordable_nanos - bound_nanos,
      }
    },
    async settle(settlement) {
      settled.push(settlement)
      const hold = settlement.hold_id === null ? undefined : open.get(settlement.hold_id)
      if (settlement.hold_id !== null) open.delete(settlement.hold_id)
      spent += settlement.cost_nanos ?? hold ?? 0n
      const { event, beside = [] } = settlement
      await record([event, ...beside])
    },
    async release(hold_id) {
      released.push(hold_id)
      open.delete(hold_id)
    },
    async close() {},
  }
}

export function wrappedKey(changes: Partial<ProxyKey> = {}): ProxyKey {
  return {
    id: 'test',
    name: 'team-a',
    providers: ['openai', 'anthropic', 'google', 'local'],
    allowsModel: () => true,
    allowsAddress: () => true,
    tags: {},
    user: null,
    workspace: null,
    on_limit: 'refuse',
    on_abort: 'drain',
    limits: { requests_per_minute: null, tokens_per_minute: null, concurrent_requests: null },
    ...changes,
  }
}

export type ProxyOptions = {
  /** Provider id to base URL; `local` is an OpenAI-compatible server. */
  readonly base_urls: Readonly<Record<string, string>>
  readonly secrets: Readonly<Record<string, string>>
  readonly keys?: Readonly<Record<string, ProxyKey | KeyProblem>>
  readonly limit_nanos?: Nanos
  readonly now?: number
  readonly deps?: Partial<ProxyDeps>
}

export type TestProxy = {
  readonly url: string
  readonly db: Db
  readonly gate: MemoryGate
  readonly catalog: Catalog
  readonly logged: string[]
  readonly server: Server
  /** Events in the order in which they were settled. */
  events(): UsageEvent[]
  /** Waits until so many events are settled. */
  waitFor(count: number): Promise<UsageEvent[]>
  connections(): Promise<number>
  close(): Promise<void>
}

/** The real routes on a real socket, over a store in memory. */
export async function startProxy(options: ProxyOptions): Promise<TestProxy> {
  const clock = options.now === undefined ? systemClock() : fixedClock(options.now)
  const store = await openStore({ path: ':memory:', driver: 'node', now: clock.now() })
  const catalog = loadCatalog()
  const gate = createMemoryGate(store.db, catalog, { limit_nanos: options.limit_nanos ?? null })
  const logged: string[] = []
  const keys = options.keys ?? { [WRAPPED]: wrappedKey() }
  const proxy = proxyRoute({
    db: store.db,
    clock,
    log: createLog((line) => logged.push(line)),
    gate,
    providers,
    resolveKey: (text) =>
      keys[text] ?? { problem: 'unknown', message: 'Outlay does not know this key.' },
    upstreamKey: (provider) => {
      const secret = options.secrets[provider]
      return secret === undefined ? null : new Secret(secret)
    },
    baseUrl: (provider) => options.base_urls[provider],
    compatBaseUrl: (name) => options.base_urls[name] ?? null,
    catalog,
    ...options.deps,
  })
  const server = createServer(proxy.handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const events = () => gate.settled.map(({ event }) => event)
  return {
    url: `http://127.0.0.1:${port}`,
    db: store.db,
    gate,
    catalog,
    logged,
    server,
    events,
    async waitFor(count) {
      for (let tries = 0; events().length < count && tries < 400; tries++)
        await new Promise((resolve) => setTimeout(resolve, 10))
      return events()
    },
    connections: () =>
      new Promise((resolve, reject) =>
        server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      ),
    async close() {
      await proxy.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await store.close()
    },
  }
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AdmitRequest, Gate, Subject } from '../../src/budgets/admission.ts'
import { type BudgetFields, createBudget } from '../../src/budgets/budget.ts'
import { createGate } from '../../src/budgets/gate.ts'
import { fixedClock } from '../../src/clock.ts'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { silentLog } from '../../src/log.ts'
import { createCatalog } from '../../src/pricing/catalog.ts'
import type { DriverName } from '../../src/store/driver.ts'
import type { Holder } from '../../src/store/lease.ts'
import { openStore } from '../../src/store/open.ts'
import type { Db } from '../../src/store/schema.ts'
import { NO_USAGE } from '../../src/usage.ts'

export const NOW = Date.UTC(2026, 10, 24, 10)
export const USD = 1_000_000_000n

/** One model at a nano-dollar a token, so that a test's costs are its token counts. */
export const catalog = createCatalog({
  package: 'test',
  version: '1',
  licence: 'none',
  homepage: 'https://example.com',
  sources: {},
  models: [
    {
      provider: 'openai',
      model: 'm1',
      names: ['m1'],
      rules: [{ prices: { uncached_input_tokens: 1_000, output_tokens: 1_000 } }],
    },
    {
      provider: 'openai',
      model: 'm2',
      names: ['m2'],
      rules: [{ prices: { uncached_input_tokens: 100, output_tokens: 100 } }],
    },
  ],
})

export type BudgetStore = {
  readonly db: Db
  readonly path: string
  readonly driver: DriverName
  readonly clock: ReturnType<typeof fixedClock>
}

export async function openBudgetStore(driver: DriverName = 'better-sqlite3'): Promise<BudgetStore> {
  const { store, close } = await openTemporary(driver)
  onTestFinished(close)
  return store
}

/** For property tests, which open many and close each at once. */
export async function openTemporary(
  driver: DriverName,
): Promise<{ store: BudgetStore; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'outlay-budgets-'))
  const path = join(folder, 'outlay.db')
  const { db, close } = await openStore({ path, driver, now: NOW })
  return {
    store: { db, path, driver, clock: fixedClock(NOW) },
    async close() {
      await close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

let owners = 0

/** A process of its own, as far as the store can tell; `dead` ones are gone. */
export function holder(
  pid: number = 1_000 + owners,
  dead: ReadonlySet<number> = new Set(),
): Holder {
  owners += 1
  return {
    id: `own_${owners}`,
    pid,
    hostname: 'test',
    isAlive: (other) => !dead.has(other),
    wallNow: () => Date.now(),
  }
}

export async function openGate(
  { path, driver, clock }: BudgetStore,
  given: Partial<Parameters<typeof createGate>[0]> = {},
): Promise<Gate> {
  return createGate({
    store_path: path,
    store_driver: driver,
    clock,
    holder: holder(),
    log: silentLog,
    catalog: async () => catalog,
    ...given,
  })
}

export function fields(given: Partial<BudgetFields> = {}): BudgetFields {
  return {
    name: 'all of it',
    scope: { kind: 'all', value: '' },
    period: 'month',
    zone: 'UTC',
    week_start: 1,
    limit_nanos: 1_000n,
    action: 'block',
    thresholds: [50, 80, 100],
    ...given,
  }
}

export function makeBudget({ db, clock }: BudgetStore, given: Partial<BudgetFields> = {}) {
  return createBudget(db, fields(given), { at: clock.now(), actor: 'test' })
}

export function subject(given: Partial<Subject> = {}): Subject {
  return {
    provider: 'openai',
    model: 'm1',
    wrapped_key: 'k1',
    workspace: null,
    user: null,
    session: null,
    tags: {},
    ...given,
  }
}

let requests = 0

export function request(
  bound_nanos: bigint | null,
  given: Partial<AdmitRequest> = {},
): AdmitRequest {
  requests += 1
  return {
    request_id: `req_${requests}`,
    subject: subject(),
    bound_nanos,
    deadline_at: NOW + 600_000,
    ...given,
  }
}

/** The event of a request that cost so many nano-dollars. */
export function event(id: string, cost_nanos: number, given: Partial<UsageEvent> = {}): UsageEvent {
  return {
    id: `proxy/${id}`,
    source: 'proxy',
    signal: null,
    client: null,
    provider: 'openai',
    model: 'm1',
    occurred_at: NOW,
    session_id: null,
    request_id: null,
    user: null,
    project: null,
    billing_mode: 'api',
    service_tier: null,
    speed: null,
    usage: { ...NO_USAGE, output_tokens: cost_nanos, requests: 1 },
    reported_cost_nanos: null,
    tags: {},
    wrapped_key: 'k1',
    ...given,
  }
}

/** Admits or fails the test. */
export async function hold(gate: Gate, given: AdmitRequest): Promise<string> {
  const admission = await gate.admit(given)
  if (admission.kind !== 'admitted' || admission.hold_id === null)
    throw new Error(`not held: ${admission.kind}`)
  return admission.hold_id
}

import { mkdtempSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Gate } from '../../src/budgets/admission.ts'
import { createBudget } from '../../src/budgets/budget.ts'
import { createGate } from '../../src/budgets/gate.ts'
import { fixedClock } from '../../src/clock.ts'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { silentLog } from '../../src/log.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import type { Holder } from '../../src/store/lease.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import { NO_USAGE } from '../../src/usage.ts'

export const START = Date.UTC(2026, 10, 24, 10)
export const DEADLINE_MS = 60_000
export const catalog = loadCatalog()

export type RaceStore = Store & { readonly folder: string; remove(): Promise<void> }

/** A store on disk, as a user has it. */
export async function openRaceStore(): Promise<RaceStore> {
  const folder = mkdtempSync(join(tmpdir(), 'outlay-race-'))
  const store = await openStore({
    path: join(folder, 'outlay.db'),
    driver: 'better-sqlite3',
    now: START,
  })
  return {
    ...store,
    folder,
    async remove() {
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export function thisHolder(id: string): Holder {
  return {
    id,
    pid: process.pid,
    hostname: hostname(),
    isAlive(pid) {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    },
    wallNow: () => Date.now(),
  }
}

export function openRaceGate(store_path: string, owner: string): Promise<Gate> {
  return createGate({
    store_path,
    store_driver: 'better-sqlite3',
    clock: fixedClock(START),
    holder: thisHolder(owner),
    log: silentLog,
    catalog: async () => catalog,
  })
}

export function makeBudget({ db }: Pick<Store, 'db'>, name: string, limit_nanos: bigint) {
  const fields = {
    name,
    scope: { kind: 'wrapped_key', value: name },
    period: 'month',
    zone: 'UTC',
    week_start: 1,
    limit_nanos,
    action: 'block',
    thresholds: [100],
  } as const
  return createBudget(db, fields, { at: START, actor: 'bench' })
}

let requests = 0

export function askFor(wrapped_key: string, bound_nanos: bigint) {
  requests += 1
  return {
    request_id: `${process.pid}-${requests}`,
    subject: {
      provider: 'openai',
      model: 'gpt-5',
      wrapped_key,
      workspace: null,
      user: 'ada',
      session: null,
      tags: { team: 'search' },
    },
    bound_nanos,
    deadline_at: START + DEADLINE_MS,
  }
}

/** An ordinary request's entry; the ids of the proxy are in the order of time, as these are. */
export function entryOf(request_id: string, wrapped_key: string): UsageEvent {
  return {
    id: `proxy/${request_id}`,
    source: 'proxy',
    signal: null,
    client: null,
    provider: 'openai',
    model: 'gpt-5',
    occurred_at: START,
    session_id: null,
    request_id: `req_${request_id}`,
    user: 'ada',
    project: null,
    billing_mode: 'api',
    service_tier: 'standard',
    speed: null,
    usage: { ...NO_USAGE, uncached_input_tokens: 800, output_tokens: 200, requests: 1 },
    reported_cost_nanos: null,
    tags: { team: 'search' },
    wrapped_key,
    quality: 'exact',
  }
}

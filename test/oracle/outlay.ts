import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { DAY_MS, fixedClock, floorTo, utcDate } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { syncConnections } from '../../src/jobs/sync.ts'
import { sumSpend } from '../../src/ledger/spend.ts'
import type { GroupBy } from '../../src/ledger/spend-query.ts'
import { costOf } from '../../src/ledger/sums.ts'
import { silentLog } from '../../src/log.ts'
import { resolvePeriod } from '../../src/period.ts'
import { providerEnvs } from '../../src/providers/environment.ts'
import type { Cell, Mode, Simulator } from './sim.ts'

export const NOW = Date.parse('2026-11-20T15:30:00Z')
export const DAYS = 95
const FIRST_DAY = floorTo(NOW, DAY_MS) - DAYS * DAY_MS

export type Outlay = {
  readonly app: App
  readonly clock: ReturnType<typeof fixedClock>
  sync(options?: { since?: number; provider?: string }): ReturnType<typeof syncConnections>
  close(): Promise<void>
}

export function environmentFor(simulator: Simulator, home: string) {
  return {
    OUTLAY_HOME: home,
    OUTLAY_NOW: new Date(NOW).toISOString(),
    OUTLAY_TIMEZONE: 'UTC',
    ANTHROPIC_ADMIN_KEY: 'sk-ant-admin01-sim',
    OPENAI_ADMIN_KEY: 'sk-admin-sim',
    OPENROUTER_MANAGEMENT_KEY: 'sk-or-mgmt-sim',
    OUTLAY_ANTHROPIC_ADMIN_BASE_URL: simulator.anthropic,
    OUTLAY_OPENAI_ADMIN_BASE_URL: simulator.openai,
    OUTLAY_OPENROUTER_BASE_URL: simulator.openrouter,
  }
}

/** The program in this process, with its own folder, reading from the simulator. */
export async function startOutlay(simulator: Simulator, home?: string): Promise<Outlay> {
  const folder = home ?? mkdtempSync(join(tmpdir(), 'outlay-oracle-'))
  const config = parseConfig(environmentFor(simulator, folder), providerEnvs)
  const clock = fixedClock(NOW)
  const holder = {
    id: `test-${Math.random()}`,
    pid: process.pid,
    hostname: 'test',
    isAlive: () => false,
    wallNow: () => Date.now(),
  }
  const host = { clock, log: silentLog, versions: process.versions, holder }
  const app = await openApp(config, host, { timeout_ms: 1_500, backoff_ms: 5 })
  return {
    app,
    clock,
    sync: ({ since = FIRST_DAY, provider } = {}) =>
      syncConnections(app, {
        since,
        provider,
        is_forced: true,
        is_background: false,
        signal: AbortSignal.timeout(280_000),
      }),
    async close() {
      await app.close()
      if (!home) rmSync(folder, { recursive: true, force: true })
    },
  }
}

type Figures = {
  cost: bigint
  input: number
  cached: number
  written: number
  output: number
  requests: number
}

const AXES = ['provider', 'day', 'model', 'provider_key', 'workspace'] as const

/** Every total by provider × axis equals the simulator's, to the token and the nano-dollar. */
export async function expectTruth(
  { app, clock }: Outlay,
  simulator: Simulator,
  mode: Mode,
): Promise<void> {
  const end = floorTo(clock.now(), DAY_MS) + DAY_MS
  const cells = await simulator.truth(utcDate(FIRST_DAY), utcDate(end))
  const visible = cells.flatMap((cell) => visibleCells(cell, mode, clock.now()))
  const period = resolvePeriod({ from: utcDate(FIRST_DAY), to: utcDate(end) }, clock.now(), 'UTC')
  for (const axis of AXES) {
    const group_by: GroupBy[] = axis === 'provider' ? ['provider'] : ['provider', axis]
    const { groups } = await sumSpend(app.db, { period, group_by, filter: {}, basis: 'billed' })
    const ours = new Map<string, Figures>()
    for (const { keys, sums } of groups.values()) {
      const figures = {
        cost: costOf(sums),
        input: sums.input_tokens,
        cached: sums.cached_input_tokens,
        written: sums.cache_write_tokens,
        output: sums.output_tokens,
        requests: sums.uncounted_rows > 0 ? -1 : sums.requests,
      }
      if (hasFigures(figures)) ours.set(keys.join(' '), figures)
    }
    expect(Object.fromEntries(ours), `by ${axis}`).toEqual(
      Object.fromEntries(expected(visible, axis, mode)),
    )
  }
}

type VisibleCell = Cell & { readonly container: string; readonly cost: bigint }

/** What the provider's own API can say of a cell: see the simulator's README on what reports leave out. */
function visibleCells(cell: Cell, mode: Mode, now: number): VisibleCell[] {
  const container = cell.workspace ?? cell.project ?? ''
  const cost = BigInt(cell.cost_nano)
  if (cell.provider === 'openrouter') {
    const today = floorTo(now, DAY_MS)
    const at = Date.parse(cell.day)
    return at < today && at >= today - 30 * DAY_MS ? [{ ...cell, container, cost }] : []
  }
  // Storage, sessions and file searches are reported without a count of model requests.
  if (cell.provider === 'openai' && cell.model === null)
    return [{ ...cell, container, cost, requests: 0 }]
  if (cell.provider !== 'anthropic' || mode !== 'legacy') return [{ ...cell, container, cost }]
  const by = (name: string) => BigInt(cell.cost_by[name] ?? 0)
  const keyless = by('code_execution') + by('session_usage')
  const nothing = { requests: 0, tokens: NO_TOKENS, cost_by: {}, cost_nano: '0' }
  return [
    { ...cell, container, cost: cost - by('priority_tokens') - keyless },
    { ...cell, ...nothing, api_key: null, container, cost: keyless },
  ]
}

const NO_TOKENS = {
  uncached_input: 0,
  cache_read: 0,
  cache_write_short: 0,
  cache_write_long: 0,
  output: 0,
}

function expected(
  cells: readonly VisibleCell[],
  axis: (typeof AXES)[number],
  mode: Mode,
): Map<string, Figures> {
  const figures = new Map<string, Figures>()
  for (const cell of cells) {
    const value = {
      provider: undefined,
      day: cell.day,
      model: cell.model ?? '',
      provider_key: cell.api_key ?? '',
      workspace: cell.container,
    }[axis]
    const id = value === undefined ? cell.provider : `${cell.provider} ${value}`
    const sum = figures.get(id) ?? {
      cost: 0n,
      input: 0,
      cached: 0,
      written: 0,
      output: 0,
      requests: 0,
    }
    const { tokens } = cell
    const written = tokens.cache_write_short + tokens.cache_write_long
    sum.cost += cell.cost
    sum.input += tokens.uncached_input + tokens.cache_read + written
    sum.cached += tokens.cache_read
    sum.written += written
    sum.output += tokens.output
    sum.requests += cell.requests
    figures.set(id, sum)
  }
  for (const [id, sum] of figures) {
    // The legacy usage report counts no requests.
    const is_uncounted =
      mode === 'legacy' && id.startsWith('anthropic') && sum.input + sum.output > 0
    if (is_uncounted) sum.requests = -1
    if (!hasFigures(sum)) figures.delete(id)
  }
  return figures
}

function hasFigures(figures: Figures): boolean {
  return Object.values(figures).some((value) => value !== 0 && value !== 0n)
}

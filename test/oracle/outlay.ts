import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { DAY_MS, fixedClock, floorTo, MINUTE_MS, utcDate } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { syncConnections } from '../../src/jobs/sync.ts'
import { sumSpend } from '../../src/ledger/spend.ts'
import type { GroupBy } from '../../src/ledger/spend-query.ts'
import { costOf } from '../../src/ledger/sums.ts'
import { silentLog } from '../../src/log.ts'
import { resolvePeriod } from '../../src/period.ts'
import { providerEnvs } from '../../src/providers/environment.ts'
import type { Cell, Simulator } from './sim.ts'

export type Outlay = {
  readonly app: App
  readonly home: string
  readonly clock: ReturnType<typeof fixedClock>
  sync(options?: SyncOptions): ReturnType<typeof syncConnections>
  /** Moves the clocks on both sides. */
  advance(minutes: number): Promise<void>
}

export type SyncOptions = {
  since?: number
  provider?: string
  is_forced?: boolean
  is_background?: boolean
}

export function temporaryHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'outlay-oracle-'))
  onTestFinished(() => rmSync(home, { recursive: true, force: true }))
  return home
}

export function environmentFor(simulator: Simulator, home: string) {
  return {
    OUTLAY_HOME: home,
    OUTLAY_NOW: new Date(simulator.now).toISOString(),
    OUTLAY_TIMEZONE: 'UTC',
    ANTHROPIC_ADMIN_KEY: 'sk-ant-admin01-sim',
    OPENAI_ADMIN_KEY: 'sk-admin-sim',
    OPENROUTER_MANAGEMENT_KEY: 'sk-or-mgmt-sim',
    OUTLAY_ANTHROPIC_ADMIN_BASE_URL: simulator.anthropic,
    OUTLAY_OPENAI_ADMIN_BASE_URL: simulator.openai,
    OUTLAY_OPENROUTER_BASE_URL: simulator.openrouter,
  }
}

export const SECRETS = /sk-ant-admin01-sim|sk-admin-sim|sk-or-mgmt-sim/

/** The program in this process, with its own folder, reading from the simulator. */
export async function startOutlay(
  simulator: Simulator,
  { home = temporaryHome(), timeout_ms = 5_000 }: { home?: string; timeout_ms?: number } = {},
): Promise<Outlay> {
  const config = parseConfig(environmentFor(simulator, home), providerEnvs)
  const clock = fixedClock(simulator.now)
  const holder = {
    id: `test-${Math.random()}`,
    pid: process.pid,
    hostname: 'test',
    isAlive: () => false,
    wallNow: () => Date.now(),
  }
  const host = { clock, log: silentLog, versions: process.versions, holder }
  const app = await openApp(config, host, { timeout_ms, backoff_ms: 5 })
  onTestFinished(() => app.close())
  return {
    app,
    home,
    clock,
    sync: ({ since = simulator.first_day, ...options } = {}) =>
      syncConnections(app, {
        since,
        is_forced: true,
        is_background: false,
        ...options,
        signal: AbortSignal.timeout(280_000),
      }),
    async advance(minutes) {
      await simulator.control('now', { advance_minutes: minutes })
      clock.set(clock.now() + minutes * MINUTE_MS)
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

export const AXES = ['provider', 'day', 'model', 'provider_key', 'workspace'] as const
export type Axis = (typeof AXES)[number]

export type TruthOptions = {
  readonly axes?: readonly Axis[]
  readonly providers?: readonly string[]
  /** Days at the end (exclusive) to which the figures are compared; default: today included. */
  readonly end?: number
  /** Which of the organisation's report generations spoke for an Anthropic day; default by the mode. */
  readonly isLegacy?: (day: number) => boolean
}

/** Every total by provider × axis equals the simulator's, to the token and the nano-dollar. */
export async function expectTruth(
  outlay: Outlay,
  simulator: Simulator,
  options: TruthOptions = {},
): Promise<void> {
  const { axes = AXES } = options
  const visible = await listVisible(outlay, simulator, options)
  for (const axis of axes)
    expect(
      Object.fromEntries(await ourFigures(outlay, simulator, axis, options)),
      `by ${axis}`,
    ).toEqual(Object.fromEntries(sumCells(visible, axis)))
}

export async function ourFigures(
  { app, clock }: Outlay,
  { first_day }: Simulator,
  axis: Axis,
  { end = floorTo(clock.now(), DAY_MS) + DAY_MS, providers }: TruthOptions = {},
): Promise<Map<string, Figures>> {
  const period = resolvePeriod({ from: utcDate(first_day), to: utcDate(end) }, clock.now(), 'UTC')
  const group_by: GroupBy[] = axis === 'provider' ? ['provider'] : ['provider', axis]
  const filter = providers ? { provider: providers } : {}
  const { groups } = await sumSpend(app.db, { period, group_by, filter, basis: 'billed' })
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
  return ours
}

type VisibleCell = Cell & {
  readonly container: string
  readonly cost: bigint
  readonly is_uncounted: boolean
}

/** What the provider's own API can say of each cell: see the simulator's README on what reports leave out. */
export async function listVisible(
  { clock }: Outlay,
  simulator: Simulator,
  { end = floorTo(clock.now(), DAY_MS) + DAY_MS, providers, isLegacy }: TruthOptions = {},
): Promise<VisibleCell[]> {
  const { mode, first_day, now } = simulator
  const floor = Math.max(Date.parse('2026-01-01'), floorTo(now - 365 * DAY_MS, DAY_MS) + DAY_MS)
  const cells = await simulator.truth(utcDate(first_day), utcDate(end))
  // OpenRouter serves the last 30 completed days; what was read once stays.
  const oldest = floorTo(now, DAY_MS) - 30 * DAY_MS
  const today = floorTo(clock.now(), DAY_MS)
  return cells
    .filter(({ provider }) => !providers || providers.includes(provider))
    .flatMap((cell) => {
      const at = Date.parse(cell.day)
      if (cell.provider === 'openrouter') return at < today && at >= oldest ? [visible(cell)] : []
      // Storage, sessions and file searches are reported without a count of model requests.
      if (cell.provider === 'openai')
        return [visible(cell.model === null ? { ...cell, requests: 0 } : cell)]
      const is_legacy = isLegacy?.(at) ?? (mode === 'legacy' || (mode === 'both' && at < floor))
      return is_legacy ? legacyCells(cell) : [visible(cell)]
    })
}

function visible(cell: Cell): VisibleCell {
  const container = cell.workspace ?? cell.project ?? ''
  return { ...cell, container, cost: BigInt(cell.cost_nano), is_uncounted: false }
}

/** The legacy cost report has no priority tier and no keys; code execution and sessions no usage either. */
function legacyCells(cell: Cell): VisibleCell[] {
  const whole = visible(cell)
  const by = (name: string) => BigInt(cell.cost_by[name] ?? 0)
  const keyless = by('code_execution') + by('session_usage')
  const nothing = { requests: 0, tokens: NO_TOKENS, cost_by: {}, cost_nano: '0' }
  const { input, output } = figuresOf(whole)
  return [
    {
      ...whole,
      cost: whole.cost - by('priority_tokens') - keyless,
      is_uncounted: input + output > 0,
    },
    { ...whole, ...nothing, api_key: null, cost: keyless },
  ]
}

const NO_TOKENS = {
  uncached_input: 0,
  cache_read: 0,
  cache_write_short: 0,
  cache_write_long: 0,
  output: 0,
}

export function sumCells(cells: readonly VisibleCell[], axis: Axis): Map<string, Figures> {
  const sums = new Map<string, Figures>()
  const uncounted = new Set<string>()
  for (const cell of cells) {
    const value = {
      provider: undefined,
      day: cell.day,
      model: cell.model ?? '',
      provider_key: cell.api_key ?? '',
      workspace: cell.container,
    }[axis]
    const id = value === undefined ? cell.provider : `${cell.provider} ${value}`
    sums.set(id, addFigures(sums.get(id), figuresOf(cell)))
    if (cell.is_uncounted) uncounted.add(id)
  }
  for (const [id, sum] of sums) {
    if (uncounted.has(id)) sum.requests = -1
    if (!hasFigures(sum)) sums.delete(id)
  }
  return sums
}

function figuresOf({ tokens, cost, requests }: VisibleCell): Figures {
  const written = tokens.cache_write_short + tokens.cache_write_long
  return {
    cost,
    input: tokens.uncached_input + tokens.cache_read + written,
    cached: tokens.cache_read,
    written,
    output: tokens.output,
    requests,
  }
}

function addFigures(sum: Figures | undefined, more: Figures): Figures {
  if (!sum) return { ...more }
  return {
    cost: sum.cost + more.cost,
    input: sum.input + more.input,
    cached: sum.cached + more.cached,
    written: sum.written + more.written,
    output: sum.output + more.output,
    requests: sum.requests + more.requests,
  }
}

function hasFigures(figures: Figures): boolean {
  return Object.values(figures).some((value) => value !== 0 && value !== 0n)
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Gate } from '../../src/budgets/admission.ts'
import { closeLostHolds } from '../../src/budgets/heal.ts'
import type { BenchOptions, Figure } from './bench.ts'
import {
  askFor,
  catalog,
  DEADLINE_MS,
  entryOf,
  makeBudget,
  openRaceGate,
  openRaceStore,
  type RaceStore,
  START,
  thisHolder,
} from './race-store.ts'

/**
 * Does a hard stop hold? A budget worth exactly k requests, 256 that come at once, all of them open
 * together; with and without an owner that is killed in the middle. Beside it what most gateways do:
 * look at what was spent, let through, add what it cost afterwards.
 */
const CONCURRENT = 256
const AFFORDABLE = 64
/** 512 tokens of output at most, 200 in fact, as people ask and models answer. */
const BOUND_TOKENS = 512n
const USED_TOKENS = 200n
const TOKEN_NANOS = 10_000n
/** A clamp below this many tokens is worth nothing to anyone. */
const CLAMP_TOKENS_MIN = 16n

type Race = { overshoot: number; held_at_rest: bigint; false_blocks: number }

export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  const rounds = is_smoke ? 2 : 20
  const store = await openRaceStore()
  try {
    const calm = await repeat(rounds, (round) => race(store, `calm-${round}`))
    const killed = await repeat(rounds, (round) => raceWithKill(store, `kill-${round}`))
    const refused = await fillUp(store, 'refuse', false)
    const clamped = await fillUp(store, 'clamp', true)
    return [
      figure('overshoot of a check before and an add after', await naiveRace(), '× the limit'),
      promise('overshoot, 256 at once', calm.overshoot, '× the limit above 1'),
      promise('held at rest', Number(calm.held_at_rest), 'nano-USD'),
      promise('refused although it fitted', calm.false_blocks, 'requests'),
      promise('overshoot, owner killed with -9', killed.overshoot, '× the limit above 1'),
      promise('held at rest after the kill', Number(killed.held_at_rest), 'nano-USD'),
      promise('refused although it fitted, after the kill', killed.false_blocks, 'requests'),
      figure('stranded: too little for one more at its most', refused, '% of the limit'),
      { ...figure('stranded with clamp', clamped, '% of the limit'), target: 2, bound: 'at_most' },
      ...(await measurePairs(store, is_smoke ? 2_000 : 60_000)),
    ]
  } finally {
    await store.remove()
  }
}

function figure(name: string, value: number, unit: string): Figure {
  return { name, value, unit }
}

function promise(name: string, value: number, unit: string): Figure {
  return { name, value, unit, target: 0, bound: 'at_most' }
}

/** The worst of all rounds. */
async function repeat(rounds: number, once_: (round: number) => Promise<Race>): Promise<Race> {
  const worst: Race = { overshoot: 0, held_at_rest: 0n, false_blocks: 0 }
  for (let round = 0; round < rounds; round++) {
    const { overshoot, held_at_rest, false_blocks } = await once_(round)
    worst.overshoot = Math.max(worst.overshoot, overshoot)
    worst.held_at_rest += held_at_rest
    worst.false_blocks += false_blocks
  }
  return worst
}

/** Each request costs its bound, so that exactly the affordable ones fit. */
async function race(store: RaceStore, name: string): Promise<Race> {
  const bound = BOUND_TOKENS * TOKEN_NANOS
  const limit = bound * BigInt(AFFORDABLE)
  await makeBudget(store, name, limit)
  const gate = await openRaceGate(store.path, name)
  const sent = await sendAll(gate, name, bound)
  await gate.close()
  return outcomeOf(store, name, { limit, bound, sent: sent.length, lost: 0n })
}

/** All are admitted before any is settled: none can use what another gives back. */
async function sendAll(gate: Gate, name: string, bound: bigint): Promise<string[]> {
  const asked = Array.from({ length: CONCURRENT }, () => askFor(name, bound))
  const answers = await Promise.all(asked.map((one) => gate.admit(one)))
  const held = answers.flatMap((answer, i) =>
    answer.kind === 'admitted' && answer.hold_id !== null
      ? [{ hold_id: answer.hold_id, request_id: asked[i]?.request_id ?? '' }]
      : [],
  )
  await Promise.all(
    held.map(({ hold_id, request_id }) =>
      gate.settle({ hold_id, event: entryOf(request_id, name), cost_nanos: bound }),
    ),
  )
  return held.map(({ request_id }) => request_id)
}

/**
 * A process holds a part and is killed; the next one finds what is left, and the lost part stays charged:
 * those requests may have been billed.
 */
async function raceWithKill(store: RaceStore, name: string): Promise<Race> {
  const bound = BOUND_TOKENS * TOKEN_NANOS
  const limit = bound * BigInt(AFFORDABLE)
  await makeBudget(store, name, limit)
  const lost = await holdAndKill(store.path, name, bound)
  const gate = await openRaceGate(store.path, name)
  const sent = await sendAll(gate, name, bound)
  await gate.close()
  await closeLostHolds({
    db: store.db,
    holder: thisHolder(name),
    catalog,
    now: START + DEADLINE_MS,
  })
  return outcomeOf(store, name, { limit, bound, sent: sent.length, lost: BigInt(lost) * bound })
}

async function holdAndKill(path: string, name: string, bound: bigint): Promise<number> {
  const script = join(import.meta.dirname, 'race-owner.ts')
  const args = [script, path, name, String(AFFORDABLE / 2), String(bound)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  child.kill('SIGKILL')
  await once(child, 'close')
  return Number(line.toString('utf8').trim())
}

async function outcomeOf(
  { db }: RaceStore,
  name: string,
  { limit, bound, sent, lost }: { limit: bigint; bound: bigint; sent: number; lost: bigint },
): Promise<Race> {
  const { rows } = await sql<{ spent: string; held: string }>`
    select
      (select cast(coalesce(sum(spent_nanos), 0) as text) from budget_spent
        join budget on budget.id = budget_id where name = ${name}) as spent,
      (select cast(coalesce(sum(bound_nanos), 0) as text) from hold
        where wrapped_key = ${name} and state = 'open') as held`.execute(db)
  const spent = BigInt(rows[0]?.spent ?? 0)
  const held_at_rest = BigInt(rows[0]?.held ?? 0)
  const fitting = Number((limit - lost) / bound)
  return {
    overshoot: Math.max(0, Number(spent + held_at_rest) / Number(limit) - 1),
    held_at_rest,
    false_blocks: fitting - sent,
  }
}

/** A model of it, not any one product: each looks, sends, and adds what it cost when the answer is there. */
async function naiveRace(): Promise<number> {
  const limit = USED_TOKENS * BigInt(AFFORDABLE)
  let spent = 0n
  const send = async () => {
    if (spent >= limit) return
    await setTimeout(20)
    spent += USED_TOKENS
  }
  await Promise.all(Array.from({ length: CONCURRENT }, send))
  return Number(spent) / Number(limit)
}

/** One after the other until refused: which part of the limit nobody gets. */
async function fillUp(store: RaceStore, name: string, clamps: boolean): Promise<number> {
  const limit = USED_TOKENS * TOKEN_NANOS * 10n
  await makeBudget(store, name, limit)
  const gate = await openRaceGate(store.path, name)
  let spent = 0n
  for (let bound = BOUND_TOKENS; ; ) {
    const asked = askFor(name, bound * TOKEN_NANOS)
    const answer = await gate.admit(asked)
    if (answer.kind === 'denied') {
      const affordable = answer.affordable_nanos / TOKEN_NANOS
      if (!clamps || affordable < CLAMP_TOKENS_MIN || affordable >= bound) break
      bound = affordable
      continue
    }
    const used = bound < USED_TOKENS ? bound : USED_TOKENS
    const cost_nanos = used * TOKEN_NANOS
    spent += cost_nanos
    const event = entryOf(asked.request_id, name)
    await gate.settle({ hold_id: answer.hold_id, event, cost_nanos })
  }
  await gate.close()
  return Number(((limit - spent) * 10_000n) / limit) / 100
}

/** Holds and settlements with their ledger entries, 256 at a time, as fast as they go. */
async function measurePairs(store: RaceStore, pairs: number): Promise<Figure[]> {
  const name = 'pairs'
  await makeBudget(store, name, 10n ** 15n)
  const gate = await openRaceGate(store.path, name)
  await pairUp(gate, name, Math.min(pairs, 2_000))
  const cpu = process.cpuUsage()
  const start = performance.now()
  await pairUp(gate, name, pairs)
  const wall_ms = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  await gate.close()
  const cpu_us = (user + system) / pairs
  return [
    figure('CPU of a hold, its settlement and its ledger entry', cpu_us, 'µs'),
    figure('pairs a second and core', 1_000_000 / cpu_us, '/s'),
    figure('pairs a second as measured', (pairs * 1_000) / wall_ms, '/s'),
  ]
}

async function pairUp(gate: Gate, name: string, pairs: number): Promise<void> {
  let left = pairs
  const worker = async () => {
    while (left > 0) {
      left -= 1
      const asked = askFor(name, 1_000_000n)
      const answer = await gate.admit(asked)
      if (answer.kind === 'denied') throw new Error(`denied: ${answer.reason}`)
      const event = entryOf(asked.request_id, name)
      await gate.settle({ hold_id: answer.hold_id, event, cost_nanos: 900_000n })
    }
  }
  await Promise.all(Array.from({ length: CONCURRENT }, worker))
}

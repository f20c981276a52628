import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import type { Gate } from '../../src/budgets/admission.ts'
import { closeLostHolds } from '../../src/budgets/heal.ts'
import { HOUR_MS } from '../../src/clock.ts'
import type { BenchOptions, Figure } from './bench.ts'
import { type RaceFarEnd, startRaceFarEnd } from './race-far-end.ts'
import { type RaceKey, type RaceProgram, startRaceProgram, waitUntil } from './race-program.ts'
import {
  askFor,
  entryOf,
  makeBudget,
  openRaceGate,
  openRaceStore,
  type RaceStore,
} from './race-store.ts'

/**
 * Does a hard stop hold? A budget worth exactly k requests, 256 that come at once through the running
 * program, all that it lets through open at the provider together; as JSON and as streams, with and
 * without an owner that is killed in the middle. Beside it what most gateways do: look at what was spent,
 * let through, add what it cost afterwards.
 */
const CONCURRENT = 256
const AFFORDABLE = 64
const OUTPUT_MAX = 512

type Race = { overshoot: number; held_at_rest: bigint; false_blocks: number; rows_missing: number }
type Track = { readonly far_end: RaceFarEnd; readonly program: RaceProgram; readonly bound: bigint }

export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  const rounds = is_smoke ? 1 : 20
  const far_end = await startRaceFarEnd()
  const program = await startRaceProgram(far_end.url)
  const store = await openRaceStore()
  try {
    const track = { far_end, program, bound: await findBound(far_end, program) }
    const figures: Figure[] = []
    for (const [how, stream] of [
      ['JSON', false],
      ['SSE', true],
    ] as const) {
      const calm = await repeat(rounds, () => race(track, stream))
      figures.push(...raceFigures(`${how}, 256 at once`, calm))
      const killed = await repeat(rounds, () => raceWithKill(track, stream))
      figures.push(...raceFigures(`${how}, owner killed with -9`, killed))
    }
    return [
      figure('check before and add after, at most', await naiveRace(far_end), '× the limit'),
      ...figures,
      figure('stranded: too little for one more at its most', await fillUp(track, 'refuse'), '%'),
      { ...promise('stranded with clamp', await fillUp(track, 'clamp'), '%'), target: 2 },
      ...(await measurePairs(store, is_smoke ? 2_000 : 60_000)),
    ]
  } finally {
    await store.remove()
    await program.close()
    far_end.close()
  }
}

function raceFigures(how: string, race_: Race): Figure[] {
  return [
    promise(`${how}: overshoot`, race_.overshoot, '× the limit above 1'),
    promise(`${how}: held at rest`, Number(race_.held_at_rest), 'nano-USD'),
    promise(`${how}: refused although it fitted`, race_.false_blocks, 'requests'),
    promise(`${how}: forwarded without a row`, race_.rows_missing, 'requests'),
  ]
}

function figure(name: string, value: number, unit: string): Figure {
  return { name, value, unit }
}

function promise(name: string, value: number, unit: string): Figure {
  return { name, value, unit, target: 0, bound: 'at_most' }
}

/** The worst of all rounds. */
async function repeat(rounds: number, once_: () => Promise<Race>): Promise<Race> {
  const worst: Race = { overshoot: 0, held_at_rest: 0n, false_blocks: 0, rows_missing: 0 }
  for (let round = 0; round < rounds; round++) {
    const { overshoot, held_at_rest, false_blocks, rows_missing } = await once_()
    worst.overshoot = Math.max(worst.overshoot, overshoot)
    worst.held_at_rest += held_at_rest
    worst.false_blocks += Math.abs(false_blocks)
    worst.rows_missing += rows_missing
  }
  return worst
}

async function chat(base: string, { secret }: RaceKey, stream: boolean): Promise<number> {
  const response = await fetch(new URL('/proxy/openai/v1/chat/completions', base), {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-5.4',
      max_completion_tokens: OUTPUT_MAX,
      stream,
      messages: [{ role: 'user', content: 'hello' }],
    }),
  })
  await response.arrayBuffer()
  return response.status
}

/** What the program holds for one such request. */
async function findBound(far_end: RaceFarEnd, { app, makeKey, url }: RaceProgram): Promise<bigint> {
  const key = await makeKey(10n ** 12n)
  far_end.hold()
  // JSON and streams must hold the same; the longer body is the stream's.
  const asked = chat(url(), key, false)
  await waitUntil('one request at the far end', () => far_end.held() === 1)
  const { rows } = await sql<{ bound: string }>`
    select cast(bound_nanos as text) as bound from hold where wrapped_key = ${key.id}`.execute(
    app.db,
  )
  far_end.release()
  await asked
  return BigInt(rows[0]?.bound ?? 0)
}

/** All that is let through is open at once: none can use what another gives back. */
async function race(track: Track, stream: boolean): Promise<Race> {
  const limit = track.bound * BigInt(AFFORDABLE)
  const key = await track.program.makeKey(limit)
  const sent = await sendAll(track, key, { stream, wanted: AFFORDABLE })
  return outcomeOf(track, key, { limit, lost: 0, sent })
}

/**
 * A program holds a part and is killed; the next one finds what is left. The lost part stays charged:
 * those requests may have been billed.
 */
async function raceWithKill(track: Track, stream: boolean): Promise<Race> {
  const { far_end, program, bound } = track
  const limit = bound * BigInt(AFFORDABLE)
  const lost = AFFORDABLE / 2
  const key = await program.makeKey(limit)
  far_end.hold()
  const cut = Array.from({ length: lost }, () => chat(program.url(), key, stream).catch(() => 0))
  await waitUntil('the lost requests at the far end', () => far_end.held() === lost)
  await program.kill()
  await Promise.all(cut)
  await waitUntil('the far end notices', () => far_end.held() === 0)
  await program.restart()
  const sent = await sendAll(track, key, { stream, wanted: AFFORDABLE - lost })
  const { db, holder, clock } = program.app
  const catalog = await program.app.catalog()
  await closeLostHolds({ db, holder, catalog, now: clock.now() + 3 * HOUR_MS })
  return outcomeOf(track, key, { limit, lost, sent })
}

/** Gives how many were let through; the far end must see as many, and no more while all are open. */
async function sendAll(
  { far_end, program }: Track,
  key: RaceKey,
  { stream, wanted }: { stream: boolean; wanted: number },
): Promise<number> {
  let refused = 0
  far_end.hold()
  const asked = Array.from({ length: CONCURRENT }, async () => {
    const status = await chat(program.url(), key, stream)
    if (status === 429) refused += 1
    return status
  })
  await waitUntil('everybody has an answer or waits', () => refused + far_end.held() === CONCURRENT)
  const let_through = far_end.held()
  far_end.release()
  const statuses = await Promise.all(asked)
  const odd = statuses.find((status) => status !== 200 && status !== 429)
  if (odd !== undefined) throw new Error(`answered ${odd}, wanted ${wanted} times 200`)
  return let_through
}

async function outcomeOf(
  { program, bound }: Track,
  { id }: RaceKey,
  { limit, lost, sent }: { limit: bigint; lost: number; sent: number },
): Promise<Race> {
  const { rows } = await sql<{ spent: string; held: string; most: string; entries: number }>`
    select
      (select cast(coalesce(sum(spent_nanos), 0) as text) from budget_spent
        join budget on budget.id = budget_id where scope_value = ${id}) as spent,
      (select cast(coalesce(sum(bound_nanos), 0) as text) from hold
        where wrapped_key = ${id} and state = 'open') as held,
      (select cast(coalesce(sum(bound_nanos), 0) as text) from hold
        where wrapped_key = ${id}) as most,
      (select count(*) from ledger_entry where wrapped_key = ${id} and cost_nanos is not 0) as entries`.execute(
    program.app.db,
  )
  const [row] = rows
  const spent = BigInt(row?.spent ?? 0)
  const held_at_rest = BigInt(row?.held ?? 0)
  // All holds of a round were open together: their sum is the most that was ever promised.
  const most = BigInt(row?.most ?? 0)
  const worst = most > spent + held_at_rest ? most : spent + held_at_rest
  const fitting = Number((limit - BigInt(lost) * bound) / bound)
  return {
    overshoot: Math.max(0, Number(worst) / Number(limit) - 1),
    held_at_rest,
    false_blocks: fitting - sent,
    rows_missing: sent + lost - (row?.entries ?? 0),
  }
}

/** A model of it, not any one product: each looks, sends, and adds what it cost when the answer is there. */
async function naiveRace(far_end: RaceFarEnd): Promise<number> {
  let spent = 0
  const server = createServer(async (incoming, outgoing) => {
    const body = await Array.fromAsync(incoming)
    if (spent >= AFFORDABLE) return void outgoing.writeHead(429).end()
    const answer = await fetch(`${far_end.url}/chat/completions`, {
      method: 'POST',
      body: Buffer.concat(body as Buffer[]),
    })
    outgoing.end(await answer.text())
    spent += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  far_end.hold()
  const asked = Array.from({ length: CONCURRENT }, () => chat(base, { id: '', secret: '' }, false))
  await waitUntil('all at the far end', () => far_end.held() === CONCURRENT)
  far_end.release()
  await Promise.all(asked)
  server.closeAllConnections()
  server.close()
  return spent / AFFORDABLE
}

/** One after the other until refused: which part of the limit nobody gets. */
async function fillUp({ program, bound }: Track, on_limit: 'refuse' | 'clamp'): Promise<number> {
  const limit = bound * BigInt(AFFORDABLE)
  const key = await program.makeKey(limit, on_limit)
  while ((await chat(program.url(), key, false)) === 200);
  const { rows } = await sql<{ spent: string }>`
    select cast(coalesce(sum(spent_nanos), 0) as text) as spent from budget_spent
    join budget on budget.id = budget_id where scope_value = ${key.id}`.execute(program.app.db)
  return Number(((limit - BigInt(rows[0]?.spent ?? 0)) * 10_000n) / limit) / 100
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

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished } from 'vitest'
import { answerSpend } from '../../src/ledger/spend-answer.ts'
import { resolvePeriod } from '../../src/period.ts'
import { openStore } from '../../src/store/open.ts'
import { freePort, makeHome, programEnv, startServe, stopProgram } from '../helpers/program.ts'
import { random } from '../helpers/random.ts'
import { exportRequest } from './descriptors.ts'

const SENDERS = 4
const RECORDS = 5
const TOKENS = { input: 100, output: 7 }
const RETRY_MS = 40
/** Longest time from the first acknowledgement after a start to the kill. */
const ALIVE_MS_MAX = 250
const HOUR_MS = 3_600_000

type Batch = { readonly signal: 'logs' | 'metrics'; readonly type: string; readonly body: Buffer }

/**
 * Kills `outlay serve` again and again while clients send, each of them the same bytes until they are
 * acknowledged and never again after that. In the end every batch is in the totals once.
 */
export async function expectNothingLost({ kills, seed }: { kills: number; seed: number }) {
  const { home, remove } = makeHome()
  onTestFinished(remove)
  const port = await freePort()
  const env = programEnv(home, { OUTLAY_PORT: String(port) })
  const load = startLoad(`http://127.0.0.1:${port}`)
  onTestFinished(() => void load.stop())
  const next = random(seed)
  for (let i = 0; i < kills; i++) {
    const { child } = await startServe(env)
    onTestFinished(() => void child.kill('SIGKILL'))
    await load.waitForOne()
    await delay(ALIVE_MS_MAX * next())
    await kill(child)
  }
  const { child } = await startServe(env)
  onTestFinished(() => stopProgram(child))
  const { acknowledged, resent } = await load.stop()
  expect(acknowledged.logs).toBeGreaterThan(kills)
  expect(acknowledged.metrics).toBeGreaterThan(0)
  const { total, booked_before } = await askStore(join(home, 'outlay', 'outlay.db'))
  const batches = acknowledged.logs + acknowledged.metrics
  expect(total).toMatchObject({
    input_tokens: batches * RECORDS * TOKENS.input,
    output_tokens: batches * RECORDS * TOKENS.output,
  })
  return { batches, resent, booked_before }
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

/** What `get_spend` answers when every grace is over, and how many records came that were booked before. */
async function askStore(path: string) {
  const now = Date.now() + HOUR_MS
  const { db, close } = await openStore({ path, driver: 'better-sqlite3', now })
  try {
    const period = resolvePeriod({ period: 'last_24h' }, now, 'UTC')
    const query = { group_by: [], filter: {}, basis: 'best', compare: false, limit: 20 } as const
    const { total } = await answerSpend(db, { ...query, period, now })
    const received = await db.selectFrom('receiver').select('duplicates').execute()
    const booked_before = received.reduce((sum, { duplicates }) => sum + duplicates, 0)
    return { total, booked_before }
  } finally {
    await close()
  }
}

/** Clients that send numbered batches as fast as they are acknowledged. */
function startLoad(url: string) {
  const acknowledged = { logs: 0, metrics: 0 }
  let resent = 0
  let number = 0
  let is_stopping = false
  let onOne = () => {}
  async function sendAll(): Promise<void> {
    while (!is_stopping) {
      const batch = makeBatch(number++)
      // A batch that was begun is sent until it is acknowledged, whatever happens meanwhile.
      for (; !(await send(url, batch)); resent++) await delay(RETRY_MS)
      acknowledged[batch.signal] += 1
      onOne()
    }
  }
  const senders = Array.from({ length: SENDERS }, sendAll)
  return {
    waitForOne: () =>
      new Promise<void>((resolve) => {
        onOne = resolve
      }),
    async stop() {
      is_stopping = true
      await Promise.all(senders)
      return { acknowledged, resent }
    },
  }
}

/** Whether it was acknowledged. */
function send(url: string, { signal, type, body }: Batch): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = { 'content-type': type, 'content-length': body.length }
    const out = request(`${url}/v1/${signal}`, { method: 'POST', headers }, (incoming) => {
      incoming.resume().once('end', () => resolve(incoming.statusCode === 200))
      incoming.once('error', () => resolve(false))
    })
    out.once('error', () => resolve(false)).end(body)
  })
}

function makeBatch(number: number): Batch {
  const signal = number % 4 === 3 ? 'metrics' : 'logs'
  const json = signal === 'logs' ? logsOf(number) : metricsOf(number)
  if (number % 2 === 0)
    return { signal, type: 'application/json', body: Buffer.from(JSON.stringify(json)) }
  const message = exportRequest(signal)
  const body = Buffer.from(message.encode(message.fromObject(json)).finish())
  return { signal, type: 'application/x-protobuf', body }
}

function pairs(values: Readonly<Record<string, string | number>>) {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : { intValue: value },
  }))
}

const resource = { attributes: pairs({ 'service.name': 'claude-code' }) }
const MODEL = 'claude-sonnet-4-5'

function logsOf(number: number) {
  const logRecords = Array.from({ length: RECORDS }, (_, i) => ({
    timeUnixNano: ns(Date.now()),
    attributes: pairs({
      'event.name': 'api_request',
      'session.id': `told-${number % 7}`,
      model: MODEL,
      input_tokens: TOKENS.input,
      output_tokens: TOKENS.output,
      request_id: `req_${number}_${i}`,
    }),
  }))
  return { resourceLogs: [{ resource, scopeLogs: [{ logRecords }] }] }
}

/** Of sessions that only metrics tell of; each batch counts a stretch of its own. */
function metricsOf(number: number) {
  const at = Date.now()
  const dataPoints = Array.from({ length: RECORDS }, (_, i) =>
    Object.entries(TOKENS).map(([type, asDouble]) => ({
      attributes: pairs({ 'session.id': `counted-${number % 7}`, model: MODEL, type }),
      startTimeUnixNano: ns(at - 60_000, number * RECORDS + i),
      timeUnixNano: ns(at, number * RECORDS + i),
      asDouble,
    })),
  ).flat()
  const sum = { aggregationTemporality: 1, isMonotonic: true, dataPoints }
  const metrics = [{ name: 'claude_code.token.usage', unit: 'tokens', sum }]
  return { resourceMetrics: [{ resource, scopeMetrics: [{ metrics }] }] }
}

function ns(at: number, and = 0): string {
  return String(BigInt(at) * 1_000_000n + BigInt(and % 1_000_000))
}

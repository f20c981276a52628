import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:http2'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { fixedClock, isoTime } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { reportStatus } from '../../src/jobs/status.ts'
import { createAccessToken, type Scope } from '../../src/keys/access-token.ts'
import { silentLog } from '../../src/log.ts'
import { openSidePort } from '../../src/side-port.ts'
import { NOW, PROTOBUF, send, statusOf } from './fixture.ts'
import { attribute, logsBody } from './wire.ts'

const BODY = logsBody([{ 6: [attribute('event.name', 'codex.startup_phase')] }])

/** The program with its real side port on a free port. */
async function openOutlay(variables: Readonly<Record<string, string>> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'outlay-otlp-'))
  const config = parseConfig({ OUTLAY_HOME: home, OUTLAY_PORT: '0', ...variables }, [])
  const holder = {
    id: 'test',
    pid: process.pid,
    hostname: 'test',
    isAlive: () => true,
    wallNow: () => NOW,
  }
  const clock = fixedClock(NOW)
  const app = await openApp(config, { clock, log: silentLog, versions: process.versions, holder })
  onTestFinished(async () => {
    await app.close()
    rmSync(home, { recursive: true, force: true })
  })
  return { app, clock }
}

async function openPort(app: App): Promise<string> {
  const port = await openSidePort(app)
  onTestFinished(() => port.close())
  return port.url.replace('0.0.0.0', '127.0.0.1')
}

async function bearer(app: App, scopes: readonly Scope[]): Promise<{ authorization: string }> {
  const name = scopes.join(' and ')
  const given = { name, scopes, expires_at: null, at: NOW, actor: 'test' }
  const { token } = await createAccessToken(app.db, given)
  return { authorization: `Bearer ${token.reveal()}` }
}

test('on loopback no token is needed, but one that is sent must be right', async () => {
  const { app } = await openOutlay()
  const url = await openPort(app)
  const post = async (headers: Record<string, string> = {}) => {
    const given = { headers: { ...PROTOBUF, ...headers }, body: BODY }
    return send(`${url}/v1/logs`, given)
  }
  expect((await post()).status).toBe(200)
  expect((await post({ authorization: 'Bearer TOKEN' })).status).toBe(200)
  expect((await post(await bearer(app, ['ingest']))).status).toBe(200)
  const reader = await post(await bearer(app, ['read']))
  expect(reader.status).toBe(403)
  expect(statusOf(reader)).toMatchObject({ code: 7, message: expect.stringContaining('ingest') })
  const unknown = await post({ authorization: `Bearer olt_${'0'.repeat(16)}_${'x'.repeat(43)}` })
  expect(unknown.status).toBe(401)
  expect(unknown.headers['www-authenticate']).toContain('invalid_token')
  const wrapped = await post({ authorization: 'Bearer olk_abc_def' })
  expect(statusOf(wrapped)).toMatchObject({ code: 16, message: expect.stringContaining('proxy') })
})

test('beyond loopback a token is needed', async () => {
  const { app } = await openOutlay({ OUTLAY_HOST: '0.0.0.0', OUTLAY_ALLOWED_HOSTS: 'cost.example' })
  const ingest = await bearer(app, ['ingest'])
  const url = await openPort(app)
  const host = { ...PROTOBUF, host: 'cost.example' }
  const refused = await send(`${url}/v1/logs`, { headers: host, body: BODY })
  expect(refused.status).toBe(401)
  expect(refused.headers['www-authenticate']).toBe('Bearer')
  expect(statusOf(refused).code).toBe(16)
  const taken = await send(`${url}/v1/logs`, { headers: { ...host, ...ingest }, body: BODY })
  expect(taken.status).toBe(200)
})

test('a foreign page cannot send telemetry', async () => {
  const { app } = await openOutlay()
  const url = await openPort(app)
  for (const header of [{ origin: 'https://evil.example' }, { host: 'evil.example' }]) {
    const answer = await send(`${url}/v1/logs`, { headers: { ...PROTOBUF, ...header }, body: BODY })
    expect(answer.status).toBe(403)
  }
})

test('a Codex with a bare base URL is explained in the status until its telemetry arrives', async () => {
  const { app, clock } = await openOutlay()
  const url = await openPort(app)
  const headers = { ...PROTOBUF, 'user-agent': 'OTel-OTLP-Exporter-Rust/0.31.0' }
  const answer = await send(url, { headers, body: BODY })
  expect(answer.status).toBe(404)
  expect(statusOf(answer).message).toContain('/v1/logs')
  const sentence = `1 telemetry request from OTel-OTLP-Exporter-Rust went to a path where none is taken, last at ${isoTime(NOW)}. This is probably Codex, whose endpoint must end in /v1/logs. The right lines: outlay env codex.`
  const { problems, receivers } = await reportStatus(app)
  expect(problems).toContain(sentence)
  expect(receivers).toEqual([])
  clock.set(NOW + 1)
  expect((await send(`${url}/v1/logs`, { headers, body: BODY })).status).toBe(200)
  expect((await reportStatus(app)).problems).not.toContain(sentence)
})

test('refusals are counted, each of them', async () => {
  const { app } = await openOutlay()
  const url = await openPort(app)
  const headers = { ...PROTOBUF, 'user-agent': 'curl/8' }
  for (let index = 0; index < 30; index++)
    await send(`${url}/v1/logs`, { headers, body: 'no protobuf' })
  const listRows = () =>
    app.db.selectFrom('receiver').select(['signal', 'client', 'rejected']).execute()
  await expect
    .poll(listRows, { timeout: 10_000 })
    .toEqual([{ signal: 'refused_400', client: 'unknown', rejected: 30 }])
  expect((await reportStatus(app)).problems).toContain(
    `30 telemetry requests from an unknown client could not be read, last at ${isoTime(NOW)}.`,
  )
})

test('a client that speaks gRPC is explained in the status', async () => {
  const { app } = await openOutlay()
  const url = await openPort(app)
  const client = connect(url)
  const failed = once(client, 'error')
  const path = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
  const stream = client.request({ ':method': 'POST', ':path': path })
  stream.on('error', () => {})
  await failed
  const problems = async () => (await reportStatus(app)).problems.join()
  await expect.poll(problems).toMatch(/1 telemetry request from an unknown client came as gRPC/)
  // Broken HTTP is answered as before.
  const socket = createConnection(Number(new URL(url).port))
  socket.end('nonsense\r\n\r\n')
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 Bad Request/)
  expect(await problems()).not.toMatch(/2 telemetry requests/)
})

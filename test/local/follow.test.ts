import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { fixedClock } from '../../src/clock.ts'
import { parseConfig } from '../../src/config.ts'
import { importJob, importLogs } from '../../src/jobs/import.ts'
import { reportStatus } from '../../src/jobs/status.ts'
import { silentLog } from '../../src/log.ts'
import { createBook } from '../../src/otlp/book.ts'
import { providerEnvs } from '../../src/providers/environment.ts'
import syncNow from '../../tools/sync-now.ts'
import { logRecord, logs } from '../otlp/telemetry.ts'
import { claudeLine, countRows, NOW, totalsOf } from './home.ts'

const USAGE = { input_tokens: 10, output_tokens: 300 }

async function openLogs(): Promise<{ app: App; file: string; later(ms: number): void }> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-follow-'))
  const folder = join(home, '.claude/projects/p')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 's1.jsonl')
  writeFileSync(file, claudeLine('a', USAGE))
  let wall = NOW
  const clock = { ...fixedClock(NOW), wallNow: () => wall }
  const env = { HOME: home, OUTLAY_HOME: join(home, 'outlay'), OUTLAY_TIMEZONE: 'UTC' }
  const holder = {
    id: 'own_test',
    pid: process.pid,
    hostname: hostname(),
    isAlive: () => true,
    wallNow: clock.wallNow,
  }
  const host = { clock, log: silentLog, versions: process.versions, holder }
  const app = await openApp(parseConfig(env, providerEnvs), host)
  onTestFinished(async () => {
    await app.close()
    rmSync(home, { recursive: true, force: true })
  })
  return {
    app,
    file,
    later(ms) {
      wall += ms
    },
  }
}

test('folders are not followed before a first import, and are from then on', async () => {
  const { app, file, later } = await openLogs()
  expect(await importJob.isDue(app)).toBe(false)
  await importLogs(app, { client: 'claude-code', is_dry_run: false, signal: app.closing })
  expect(await importJob.isDue(app)).toBe(false)
  appendFileSync(file, claudeLine('b', USAGE))
  later(60_000)
  expect(await importJob.isDue(app)).toBe(true)
  await importJob.run(app, app.closing)
  expect(await importJob.isDue(app)).toBe(false)
  expect(await totalsOf(app.db)).toMatchObject({ requests: 2 })
})

test('a dry run tells what is new and stores nothing', async () => {
  const { app, file } = await openLogs()
  const dry = { is_dry_run: true, signal: app.closing }
  expect((await importLogs(app, dry))[0]).toMatchObject({ files: 1, requests: 1 })
  for (const table of ['ledger_entry', 'local_file', 'local_client', 'receiver'])
    expect(await countRows(app.db, table)).toBe(0)
  await importLogs(app, { is_dry_run: false, signal: app.closing })
  appendFileSync(file, claudeLine('b', USAGE))
  expect((await importLogs(app, dry))[0]).toMatchObject({ requests: 1, repeats: 1 })
  expect(await totalsOf(app.db)).toMatchObject({ requests: 1 })
})

test('two imports at once wait for each other and count once', async () => {
  const { app } = await openLogs()
  const request = { is_dry_run: false, signal: app.closing }
  const [one, other] = await Promise.all([importLogs(app, request), importLogs(app, request)])
  expect([one[0]?.requests, other[0]?.requests].sort()).toEqual([0, 1])
  expect(await totalsOf(app.db)).toMatchObject({ requests: 1 })
})

test('what was imported is told in the status', async () => {
  const { app } = await openLogs()
  await importLogs(app, { is_dry_run: false, signal: app.closing })
  const { receivers } = await reportStatus(app)
  expect(receivers).toMatchObject([{ client: 'claude-code', signal: 'session_logs', accepted: 1 }])
})

test('sync_now reads local logs when asked to, and says so when there are none', async () => {
  const { app, file } = await openLogs()
  const call = {
    app,
    actor: 'test',
    signal: app.closing,
    can_open_url: false,
    url_answer: undefined,
  }
  const ask = { source: 'local', provider: undefined, since: undefined } as const
  const dry = await syncNow.handle({ ...ask, dry_run: true }, call)
  expect(dry).toMatchObject({ state: 'dry_run', rows: 1, connections: ['logs of claude-code'] })
  const done = await syncNow.handle({ ...ask, dry_run: false }, call)
  if (!('state' in done)) throw new Error('no answer')
  expect(syncNow.text(done)).toBe('Synced logs of claude-code: 1 rows read.')
  rmSync(file)
  const none = await syncNow.handle({ ...ask, dry_run: false }, call)
  expect(none).toMatchObject({ state: 'nothing_connected', failures: [/no session logs/] })
})

test('an unknown client is refused with the closest name', async () => {
  const { app } = await openLogs()
  const asked = { client: 'claude', is_dry_run: false, signal: app.closing }
  await expect(importLogs(app, asked)).rejects.toThrow(/Did you mean claude-code\?/)
})

test('who pays is decided by the one rule that telemetry follows', async () => {
  const { app } = await openLogs()
  const rules = { clients: { 'claude-code': { billing_mode: 'subscription' } } }
  const path = join(app.config.home, 'telemetry.json')
  writeFileSync(path, '{"clients":7}')
  const signal = new AbortController().signal
  const importOnce = () => importLogs(app, { client: 'claude-code', is_dry_run: false, signal })
  await expect(importOnce()).rejects.toThrow(/telemetry\.json: clients/)
  writeFileSync(path, JSON.stringify(rules))
  await importOnce()
  const event = { 'event.name': 'api_request', 'session.id': 's9', model: 'claude-sonnet-4-5' }
  const book = createBook(app)
  const batch = logs(logRecord('claude-code', { ...event, input_tokens: 5, output_tokens: 1 }))
  await book(batch, { received_at: NOW, token: null })
  const rows = await app.db
    .selectFrom('ledger_entry')
    .select(['source', 'billing_mode'])
    .orderBy('source')
    .execute()
  expect(rows).toEqual([
    { source: 'local_log', billing_mode: 'subscription' },
    { source: 'otlp', billing_mode: 'subscription' },
  ])
})

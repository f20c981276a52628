import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { type Home, openHome, totalsOf } from './home.ts'

const AT = Date.parse('2026-11-20T10:00:00Z')

/** The database as opencode makes it, left open in WAL mode as while it runs. */
function openMessages(home: Home) {
  const folder = join(home.home, '.local/share/opencode')
  mkdirSync(folder, { recursive: true })
  const database = new DatabaseSync(join(folder, 'opencode.db'))
  onTestFinished(() => database.close())
  database.exec(`pragma journal_mode = wal;
    create table message (id text primary key, session_id text not null,
      time_created integer not null, time_updated integer not null, data text not null)`)
  const put = database.prepare('insert or replace into message values (?, ?, ?, ?, ?)')
  return (id: string, updated: number, data: object) => {
    put.run(id, 'ses_1', AT, AT + updated, JSON.stringify(data))
  }
}

const message = (output: number, completed: number | undefined) => ({
  role: 'assistant',
  time: { created: AT, completed: completed && AT + completed },
  modelID: 'claude-sonnet-4-5',
  providerID: 'anthropic',
  path: { cwd: '/home/ada/shop/web', root: '/home/ada/shop' },
  cost: 0,
  tokens: { input: 10, output, reasoning: 0, cache: { read: 0, write: 0 } },
})

test("opencode's database is read while it is in use, and on from where it was read", async () => {
  const home = await openHome()
  const put = openMessages(home)
  put('msg_1', 10, message(0, undefined))
  put('msg_2', 20, message(70, 2_000))
  put('msg_u', 20, { role: 'user', time: { created: AT } })
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 1, output: 70 })
  put('msg_1', 30, message(50, 1_000))
  put('msg_3', 20, message(90, 3_000))
  await home.import()
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 3, output: 210 })
  const rows = await home.db.selectFrom('ledger_entry').select(['session_id', 'project']).execute()
  expect(rows[0]).toEqual({ session_id: 'ses_1', project: 'shop' })
})

test('messages that moved from files into the database count once', async () => {
  const home = await openHome()
  const file = '.local/share/opencode/storage/message/ses_1/msg_2.json'
  home.write(file, JSON.stringify({ id: 'msg_2', sessionID: 'ses_1', ...message(70, 2_000) }))
  await home.import()
  const put = openMessages(home)
  put('msg_2', 20, message(70, 2_000))
  put('msg_3', 30, message(90, 3_000))
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 2, output: 160 })
})

test('a database that is none, or has other tables, fails alone', async () => {
  const home = await openHome()
  home.write('.local/share/opencode/opencode.db', 'not a database')
  const opencode = (await home.import())[3]
  expect(opencode).toMatchObject({ files: 1, files_failed: 1 })
})

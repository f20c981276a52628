import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backUp, listBackups, pruneBackups } from '../../src/store/backup.ts'
import { insertRows } from '../../src/store/columns.ts'
import { chooseDriver } from '../../src/store/driver.ts'
import {
  findLease,
  type Holder,
  holdsLease,
  releaseLease,
  takeLease,
} from '../../src/store/lease.ts'
import { migrate } from '../../src/store/migrate.ts'
import { migrations } from '../../src/store/migrations/index.ts'
import { openStore } from '../../src/store/open.ts'

const DRIVERS = ['better-sqlite3', 'node'] as const
const NOW = Date.parse('2026-11-20T00:00:00Z')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outlay-store-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe.each(DRIVERS)('the store on %s', (driver) => {
  const path = () => join(folder, 'outlay.db')
  const open = () => openStore({ path: path(), driver, now: NOW })

  test('begins with every migration recorded, and opens again unchanged', async () => {
    for (let i = 0; i < 2; i++) {
      const { db, close } = await open()
      const applied = await db.selectFrom('migration').select('name').execute()
      expect(applied.map(({ name }) => name)).toEqual(migrations.map(({ name }) => name))
      await close()
    }
    expect(listBackups(path())).toEqual([])
  })

  test('is for nobody else to read, in whatever folder', async () => {
    const { db, close } = await open()
    await sql`create table one (id integer) strict`.execute(db)
    for (const name of readdirSync(folder).filter((name) => name.startsWith('outlay.db')))
      expect(statSync(join(folder, name)).mode & 0o077, name).toBe(0)
    await close()
  })

  test('keeps WAL and foreign keys on', async () => {
    const { db, close } = await open()
    const mode = await sql<{ journal_mode: string }>`pragma journal_mode`.execute(db)
    expect(mode.rows[0]?.journal_mode).toBe('wal')
    const orphan = { stream_id: 99, bucket_start: 0, first_seen_empty_at: 0 }
    await expect(db.insertInto('suspect_bucket').values(orphan).execute()).rejects.toThrow(
      /FOREIGN KEY/,
    )
    await close()
  })

  test('carries money beyond 2^53 exactly', async () => {
    const { db, close } = await open()
    const nanos = 2n ** 62n + 1n
    await sql`create table money (nanos integer) strict`.execute(db)
    await insertRows(db, 'money', ['nanos'], [[nanos], [-nanos], [null]])
    const { rows } = await sql<{ nanos: string | null }>`
      select cast(nanos as text) as nanos from money order by nanos is null, nanos`.execute(db)
    expect(rows.map((row) => row.nanos && BigInt(row.nanos))).toEqual([-nanos, nanos, null])
    await close()
  })

  test('refuses a database that a newer program wrote', async () => {
    const { db, close } = await open()
    await db.insertInto('migration').values({ name: '9999-later', applied_at: 1 }).execute()
    await close()
    await expect(open()).rejects.toThrow(/newer Outlay.*9999-later/)
  })

  test('backs the file up before it migrates, and a failing step leaves nothing behind', async () => {
    const { db, close } = await open()
    const broken = {
      name: '0099-broken',
      async up(trx: Parameters<(typeof migrations)[number]['up']>[0]) {
        await sql`create table half (id integer)`.execute(trx)
        throw new Error('power cut')
      },
    }
    await expect(
      migrate(db, { path: path(), driver, now: NOW }, [...migrations, broken]),
    ).rejects.toThrow('power cut')
    const { rows } = await sql`select 1 from sqlite_master where name = 'half'`.execute(db)
    expect(rows).toEqual([])
    expect(listBackups(path())).toHaveLength(1)
    await close()
  })

  test('names the last backup when the file is damaged', async () => {
    const { db, close } = await open()
    const backup = await backUp(path(), driver, 'daily-2026-11-20')
    await sql`pragma wal_checkpoint(truncate)`.execute(db)
    await close()
    const bytes = readFileSync(path())
    bytes.fill(0x5a, 4096, 40_960)
    writeFileSync(path(), bytes)
    await expect(open()).rejects.toThrow(
      `damaged. Stop Outlay and restore the last backup: ${backup}`,
    )
    writeFileSync(path(), 'this is no database at all, just text that is long enough to be read')
    await expect(open()).rejects.toThrow(/damaged/)
  })

  test('a copy is whole and keeps nobody waiting, and one that was cut short is none', async () => {
    const { db, close } = await open()
    await sql`create table filler (text text)`.execute(db)
    await sql`with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
      insert into filler select hex(randomblob(4000)) from n`.execute(db)
    let turns = 0
    const timer = setInterval(() => (turns += 1), 1)
    const file = await backUp(path(), driver, 'daily-2026-11-20')
    clearInterval(timer)
    expect(turns).toBeGreaterThan(5)
    const part = `${file}.part-1`
    writeFileSync(part, 'cut short')
    expect(listBackups(path()).map((one) => one.file)).toEqual([file])
    pruneBackups(path(), 'daily-', 3)
    expect(readdirSync(dirname(part))).toEqual([basename(file ?? '')])
    await close()

    const copy = await openStore({ path: file ?? '', driver, now: NOW })
    const { rows } = await sql<{ n: number }>`select count(*) as n from filler`.execute(copy.db)
    expect(Number(rows[0]?.n)).toBe(3_000)
    await copy.close()
  })

  test('lets two processes that start on an empty folder both come up, and copy it', async () => {
    const module = (name: string) =>
      JSON.stringify(join(import.meta.dirname, `../../src/store/${name}.ts`))
    const script = `
      import { backUp } from ${module('backup')}
      import { openStore } from ${module('open')}
      const { db, close } = await openStore({ path: ${JSON.stringify(path())}, driver: '${driver}', now: 1 })
      await backUp(${JSON.stringify(path())}, '${driver}', 'copy-' + process.pid)
      console.log((await db.selectFrom('migration').select('name').execute()).length)
      await close()`
    const runs = await Promise.all(
      [1, 2, 3].map(
        () =>
          new Promise<string>((resolve) => {
            const child = spawn(process.execPath, ['--input-type=module', '-e', script])
            let output = ''
            child.stdout.on('data', (chunk) => {
              output += chunk
            })
            child.stderr.on('data', (chunk) => {
              output += chunk
            })
            child.on('close', () => resolve(output.trim()))
          }),
      ),
    )
    expect(runs).toEqual(runs.map(() => String(migrations.length)))
  })
})

test('the driver is chosen by what the Node can load', () => {
  expect(chooseDriver('auto', { napi: '10' })).toBe('better-sqlite3')
  expect(chooseDriver('auto', { napi: '9' })).toBe('node')
  expect(chooseDriver('auto', { napi: '10', electron: '38' })).toBe('node')
  expect(chooseDriver('node', { napi: '10' })).toBe('node')
  expect(() => chooseDriver('better-sqlite3', { napi: '9' })).toThrow(/OUTLAY_SQLITE=node/)
})

describe('a lease', () => {
  let now = 0
  const holder = (id: string, alive = true): Holder => ({
    id,
    pid: id.charCodeAt(0),
    hostname: 'here',
    isAlive: () => alive,
    wallNow: () => now,
  })
  const LEASE = { name: 'owner', ttl_ms: 1_000 }

  test('is held by one until it runs out, is released, or its process is gone', async () => {
    const { db, close } = await openStore({ path: ':memory:', driver: 'node', now: NOW })
    const [a, b] = [holder('a'), holder('b')]
    now = 0
    expect(await takeLease(db, a, LEASE)).toBe(true)
    expect(await takeLease(db, b, LEASE)).toBe(false)
    expect((await findLease(db, b, 'owner'))?.owner).toBe('a')
    now = 1_000
    expect(await takeLease(db, b, LEASE)).toBe(true)
    expect(await holdsLease(db, a, 'owner')).toBe(false)
    await releaseLease(db, a, 'owner')
    expect(await holdsLease(db, b, 'owner')).toBe(true)
    await releaseLease(db, b, 'owner')
    expect(await takeLease(db, a, LEASE)).toBe(true)
    expect(await takeLease(db, holder('c', false), LEASE)).toBe(true)
    await close()
  })

  test('keeps what its holder told the others, and forgets it with the holder', async () => {
    const { db, close } = await openStore({ path: ':memory:', driver: 'node', now: NOW })
    now = 0
    await takeLease(db, holder('a'), LEASE)
    await db.updateTable('lease').set({ detail: '{"side_port":"x"}' }).execute()
    await takeLease(db, holder('a'), LEASE)
    expect((await findLease(db, holder('b'), 'owner'))?.detail).toBe('{"side_port":"x"}')
    now = 5_000
    await takeLease(db, holder('b'), LEASE)
    expect((await findLease(db, holder('b'), 'owner'))?.detail).toBe('{}')
    await close()
  })
})

test('a missing folder is made, readable only by its owner', async () => {
  const path = join(folder, 'deep', 'outlay.db')
  const { close } = await openStore({ path, driver: 'node', now: NOW })
  expect(existsSync(path)).toBe(true)
  await close()
})

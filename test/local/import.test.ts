import { mkdirSync, renameSync, symlinkSync, truncateSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { CLAUDE, claudeLine, codexCount, codexMeta, countRows, openHome, totalsOf } from './home.ts'

const SMALL = { input_tokens: 10, output_tokens: 3 }
const GROWN = { input_tokens: 10, output_tokens: 300 }

test('a second import reads nothing and adds nothing', async () => {
  const home = await openHome()
  home.write(CLAUDE, claudeLine('a', GROWN) + claudeLine('b', GROWN))
  await home.import()
  const first = await totalsOf(home.db)
  const [claude] = await home.import()
  expect(claude).toMatchObject({ files: 1, files_read: 0, requests: 0 })
  expect(await totalsOf(home.db)).toEqual(first)
  expect(first).toMatchObject({ requests: 2, input: 20, output: 600 })
})

test('a message that grew after it was booked is booked again in place of the first', async () => {
  const home = await openHome()
  home.write(CLAUDE, claudeLine('a', SMALL))
  await home.import()
  home.append(CLAUDE, claudeLine('a', GROWN, { timestamp: '2026-11-20T10:00:09.000Z' }))
  const [claude] = await home.import()
  expect(claude).toMatchObject({ requests: 0, requests_revised: 1 })
  expect(await totalsOf(home.db)).toMatchObject({ requests: 1, input: 10, output: 300 })
  expect(await countRows(home.db, 'ledger_entry')).toBe(2)
  const rows = await home.db
    .selectFrom('ledger_entry')
    .select(['occurred_at', 'replaces'])
    .orderBy('id')
    .execute()
  expect(rows.map(({ occurred_at }) => new Date(occurred_at).toISOString())).toEqual([
    '2026-11-20T10:00:01.000Z',
    '2026-11-20T10:00:01.000Z',
  ])
})

test('a line without an end waits for the rest of it', async () => {
  const home = await openHome()
  const line = claudeLine('b', GROWN)
  home.write(CLAUDE, claudeLine('a', GROWN) + line.slice(0, 40))
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 1 })
  home.append(CLAUDE, line.slice(40))
  const [claude] = await home.import()
  expect(claude).toMatchObject({ requests: 1, rejected_lines: 0 })
  expect(await totalsOf(home.db)).toMatchObject({ requests: 2 })
})

test('a last line that is whole counts without a line break', async () => {
  const home = await openHome()
  home.write(CLAUDE, claudeLine('a', GROWN).trimEnd())
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 1 })
  home.append(CLAUDE, `\n${claudeLine('b', GROWN)}`)
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 2 })
})

test('a file that was truncated or replaced is read anew, and what it said before stays', async () => {
  const home = await openHome()
  const path = home.write(CLAUDE, claudeLine('a', GROWN) + claudeLine('b', GROWN))
  await home.import()
  truncateSync(path, 0)
  home.append(CLAUDE, claudeLine('c', GROWN))
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 3 })
  const longer = ['d', 'e', 'f', 'g'].map((id) => claudeLine(id, GROWN)).join('')
  home.write(CLAUDE, longer)
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 7 })
})

test('a file that is moved, copied or rewritten in place counts once', async () => {
  const home = await openHome()
  const text = claudeLine('a', GROWN) + claudeLine('b', GROWN)
  const path = home.write(CLAUDE, text)
  await home.import()
  home.write('.claude/projects/-home-ada-shop/copy.jsonl', text)
  renameSync(path, `${path.slice(0, -8)}moved.jsonl`)
  const other = text.replace('"output_tokens":300', '"output_tokens":400')
  home.write('.claude/projects/-home-ada-shop/copy2.jsonl', text)
  await home.import()
  const copy = home.write('.claude/projects/-home-ada-shop/copy2.jsonl', other)
  utimesSync(copy, new Date(), new Date(Date.now() + 5_000))
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 2, output: 700 })
})

test('a file that goes away or cannot be opened keeps no other from being read', async () => {
  const home = await openHome()
  home.write(CLAUDE, claudeLine('a', GROWN))
  home.write('.claude/projects/-home-ada-shop/gone.jsonl', claudeLine('b', GROWN))
  await home.import()
  home.remove('.claude/projects/-home-ada-shop/gone.jsonl')
  const [claude] = await home.import()
  expect(claude).toMatchObject({ files: 1, files_failed: 0 })
  expect(await totalsOf(home.db)).toMatchObject({ requests: 2 })
})

test('broken lines are counted and the lines around them are read', async () => {
  const home = await openHome()
  const broken = claudeLine('x', GROWN).slice(0, -20)
  const invalid_utf8 = Buffer.concat([
    Buffer.from(claudeLine('b', GROWN).slice(0, -2)),
    Buffer.from(',"text":"'),
    Buffer.from([0xff, 0xfe, 0xc3, 0x28]),
    Buffer.from('"}\n'),
  ])
  const text = [
    Buffer.from(`${claudeLine('a', GROWN)}\n\n[1,2]\nnull\n"assistant" "usage"\n${broken}\n`),
    invalid_utf8,
    Buffer.from(claudeLine('c', GROWN)),
  ]
  home.write(CLAUDE, Buffer.concat(text))
  const [claude] = await home.import()
  expect(claude).toMatchObject({ requests: 3, rejected_lines: 2 })
})

test('a huge line is passed over without being held, and the rest is read', async () => {
  const home = await openHome()
  const huge = claudeLine('x', GROWN, { text: 'x'.repeat(3_000_000) })
  home.write(CLAUDE, claudeLine('a', GROWN) + huge + claudeLine('b', GROWN))
  const [claude] = await home.import({ line_bytes_max: 1_000_000 })
  expect(claude).toMatchObject({ requests: 2, rejected_lines: 1 })
  home.append(CLAUDE, huge.trimEnd())
  expect((await home.import({ line_bytes_max: 1_000_000 }))[0]).toMatchObject({ requests: 0 })
  home.append(CLAUDE, `\n${claudeLine('c', GROWN)}`)
  expect((await home.import({ line_bytes_max: 1_000_000 }))[0]).toMatchObject({ requests: 1 })
})

test('a long file is booked in parts that never cut a message in two', async () => {
  const home = await openHome()
  const text = Array.from({ length: 900 }, (_, i) =>
    [3, 70, 300].map((output_tokens) => claudeLine(`${i}`, { input_tokens: 10, output_tokens })),
  )
  home.write(CLAUDE, text.flat().join(''))
  const [claude] = await home.import()
  expect(claude).toMatchObject({ requests: 900, requests_revised: 0, repeats: 1_800 })
  expect(await countRows(home.db, 'ledger_entry')).toBe(900)
  expect(await totalsOf(home.db)).toMatchObject({ requests: 900, output: 270_000 })
})

test('links are followed once, so that a loop ends', async () => {
  const home = await openHome()
  home.write('dotfiles/claude/projects/-home-ada-shop/s1.jsonl', claudeLine('a', GROWN))
  symlinkSync(join(home.home, 'dotfiles/claude'), join(home.home, '.claude'))
  const inside = join(home.home, 'dotfiles/claude/projects/-home-ada-shop/loop')
  symlinkSync(join(home.home, 'dotfiles/claude/projects'), inside)
  symlinkSync(join(home.home, 'nowhere'), `${inside}.jsonl`)
  mkdirSync(join(home.home, 'dotfiles/claude/projects/dir.jsonl'))
  const [claude] = await home.import()
  expect(claude).toMatchObject({ files: 1, requests: 1, files_failed: 0 })
})

test('CLAUDE_CONFIG_DIR, CODEX_HOME and XDG folders say where to look', async () => {
  const home = await openHome()
  home.write('a/projects/p/s.jsonl', claudeLine('a', GROWN))
  home.write('b/projects/p/s.jsonl', claudeLine('b', GROWN))
  home.write('config/claude/projects/p/s.jsonl', claudeLine('c', GROWN))
  home.write(
    'codex/sessions/2026/11/20/rollout-x.jsonl',
    codexMeta('x') + codexCount('2026-11-20T10:00:05Z', [10, 0, 5, 0], [10, 0, 5, 0]),
  )
  const env = { HOME: home.home }
  const dir = (name: string) => join(home.home, name)
  await home.import({ env: { ...env, XDG_CONFIG_HOME: dir('config') } })
  expect(await totalsOf(home.db)).toMatchObject({ requests: 1 })
  const configured = { CLAUDE_CONFIG_DIR: `${dir('a')}, ${dir('b')}`, CODEX_HOME: dir('codex') }
  await home.import({ env: { ...env, ...configured } })
  expect(await totalsOf(home.db)).toMatchObject({ requests: 4 })
})

test('a compressed rollout counts as the plain one that it was made of', async () => {
  const home = await openHome()
  const name = '.codex/sessions/2026/11/20/rollout-2026-11-20T10-00-00-x.jsonl'
  const text =
    codexMeta('x') + codexCount('2026-11-20T10:00:05Z', [1000, 200, 100, 50], [1000, 200, 100, 50])
  home.write(name, text)
  await home.import()
  home.remove(name)
  home.write(`${name}.zst`, zstdCompressSync(Buffer.from(text)))
  home.write(
    name.replace('-x', '-y').concat('.zst'),
    zstdCompressSync(Buffer.from(text.replaceAll('"x"', '"y"'))),
  )
  home.write(name.replace('-x', '-z').concat('.zst'), 'not zstd')
  const codex = (await home.import())[1]
  expect(codex).toMatchObject({ files: 3, requests: 1, repeats: 1, files_failed: 1 })
  expect(await totalsOf(home.db)).toMatchObject({ requests: 2, input: 2000 })
})

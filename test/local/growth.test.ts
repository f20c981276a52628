import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ImportDeps } from '../../src/local/book.ts'
import { importClient } from '../../src/local/import.ts'
import { localClients } from '../../src/local/index.ts'
import { openStore } from '../../src/store/open.ts'
import { CATALOG, claudeLine, codexCount, codexMeta, NOW, totalsOf } from './home.ts'

/** What a folder holds in the end, file by file in the order in which sessions began. */
type Files = ReadonlyMap<string, string>

const Output = fc.integer({ min: 0, max: 5_000 })
/** Snapshots of one message: its output grows, its time stays or moves on. */
const Message = fc.record({
  id: fc.integer({ min: 1, max: 12 }),
  outputs: fc.array(Output, { minLength: 1, maxLength: 4 }),
  file: fc.integer({ min: 0, max: 2 }),
  minute: fc.integer({ min: 0, max: 59 }),
})
const Session = fc.record({
  steps: fc.array(fc.tuple(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 0, max: 90 })), {
    minLength: 1,
    maxLength: 6,
  }),
  told_again: fc.array(fc.nat({ max: 5 }), { maxLength: 4 }),
  forks_after: fc.option(fc.nat({ max: 5 })),
})

test('any sequence of partial imports gives the totals of one import of the final files', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(Message, { minLength: 1, maxLength: 14 }),
      fc.array(Session, { maxLength: 3 }),
      fc.array(fc.integer({ min: 200, max: 4_000 }), { minLength: 1, maxLength: 12 }),
      async (messages, sessions, cuts) => {
        const files = new Map([...claudeFiles(messages), ...codexFiles(sessions)])
        const whole = await totalsAfter(files, [Number.POSITIVE_INFINITY])
        expect(await totalsAfter(files, cuts)).toEqual(whole)
        expect(await totalsAfter(files, cuts, true)).toEqual(whole)
      },
    ),
    { numRuns: 25 },
  )
}, 120_000)

/** Grows the files by so many bytes at a time, each cut followed by an import, and then to their ends. */
async function totalsAfter(files: Files, cuts: readonly number[], with_crashes = false) {
  const home = mkdtempSync(join(tmpdir(), 'outlay-grow-'))
  const store = await openStore({ path: ':memory:', driver: 'better-sqlite3', now: NOW })
  const deps: ImportDeps = {
    db: store.db,
    catalog: CATALOG,
    env: { HOME: home },
    project_names: 'name',
    billingMode: () => 'api',
    now: () => NOW,
    wallNow: () => NOW,
    signal: new AbortController().signal,
  }
  const importAll = async () => {
    for (const client of localClients) await importClient(deps, client)
  }
  let turn = 0
  try {
    for (const [name, text] of files) {
      const path = join(home, name)
      mkdirSync(dirname(path), { recursive: true })
      const bytes = Buffer.from(text)
      let at = 0
      while (at < bytes.length) {
        const size = (cuts[turn++ % cuts.length] ?? 0) + 1
        appendFileSync(path, bytes.subarray(at, at + size))
        at += size
        await importAll()
        // As if the process died after it had booked and before it noted how far it had read.
        if (with_crashes)
          await store.db
            .deleteFrom('local_file')
            .where('size', '>', at % 7)
            .execute()
      }
    }
    await importAll()
    return await totalsOf(store.db)
  } finally {
    await store.close()
    rmSync(home, { recursive: true, force: true })
  }
}

type MessageOf<Arbitrary> = Arbitrary extends fc.Arbitrary<infer Value> ? Value : never

function claudeFiles(messages: readonly MessageOf<typeof Message>[]): Files {
  const files = new Map<string, string>()
  for (const { id, outputs, file, minute } of messages) {
    const name = `.claude/projects/p/s${file}.jsonl`
    const at = { timestamp: `2026-11-20T10:${String(minute).padStart(2, '0')}:00.000Z` }
    const lines = outputs.map((output_tokens) =>
      claudeLine(`m${id}`, { input_tokens: id, output_tokens }, at),
    )
    files.set(name, (files.get(name) ?? '') + lines.join(''))
  }
  return files
}

function codexFiles(sessions: readonly MessageOf<typeof Session>[]): Files {
  const files = new Map<string, string>()
  for (const [i, { steps, told_again, forks_after }] of sessions.entries()) {
    let [input, output] = [0, 0]
    const lines = steps.flatMap(([more_input, more_output], step) => {
      input += more_input
      output += more_output
      const at = `2026-11-20T1${i}:00:${10 + step}.000Z`
      const line = codexCount(at, [input, 0, output, 0], [more_input, 0, more_output, 0])
      return told_again.includes(step) ? [line, line] : [line]
    })
    files.set(rollout(`1${i}-00-00`, `root${i}`), codexMeta(`root${i}`) + lines.join(''))
    if (forks_after === null) continue
    const began = `2026-11-20T1${i}:30:00.000Z`
    const copied = lines
      .slice(0, forks_after)
      .map((line) => line.replace(/T1\d:00:\d\d/, `T1${i}:30:00`))
    const own = codexCount(
      `2026-11-20T1${i}:31:00.000Z`,
      [input + 77, 0, output + 7, 0],
      [77, 0, 7, 0],
    )
    const meta = codexMeta(`fork${i}`, { forked_from_id: `root${i}` }, began)
    files.set(rollout(`1${i}-30-00`, `fork${i}`), meta + copied.join('') + own)
  }
  return files
}

function rollout(time: string, id: string): string {
  return `.codex/sessions/2026/11/20/rollout-2026-11-20T${time}-${id}.jsonl`
}

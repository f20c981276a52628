import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CLAUDE, claudeLine, codexCount, codexMeta, openHome } from './home.ts'

const USAGE = { input_tokens: 10, output_tokens: 300 }
const PLANTED = ['sk-ant-api03-PLANTED', 'PLANTED PROMPT', 'planted-folder', 'PLANTED COMMAND']

test.each(['name', 'hash', 'off'] as const)(
  'nothing of prompts, secrets and paths is stored with project names "%s"',
  async (project_names) => {
    const home = await openHome()
    const cwd = '/home/planted-folder/secret/shop'
    home.write(
      CLAUDE.replace('-home-ada-shop', '-home-planted-folder-secret-shop'),
      `${JSON.stringify({ type: 'user', cwd, message: { content: PLANTED.join(' ') } })}\n` +
        claudeLine('a', USAGE, { cwd }, { content: [{ type: 'text', text: PLANTED.join(' ') }] }),
    )
    home.write(
      '.codex/sessions/2026/11/20/rollout-planted-folder.jsonl',
      codexMeta('x', { cwd, instructions: PLANTED.join(' ') }) +
        codexCount('2026-11-20T10:00:05Z', [10, 0, 5, 0], [10, 0, 5, 0]),
    )
    const results = await home.import({ project_names })
    const stored = ['', '-wal', '-shm']
      .map((suffix) => `${home.store_path}${suffix}`)
      .filter((path) => existsSync(path))
      .map((path) => readFileSync(path).toString('latin1'))
      .concat(JSON.stringify(results))
    expect(stored.length).toBeGreaterThan(1)
    for (const text of stored) for (const planted of PLANTED) expect(text).not.toContain(planted)
    const rows = await home.db.selectFrom('ledger_entry').select('project').execute()
    const expected = { name: 'shop', hash: expect.stringMatching(/^[\w-]{12}$/), off: null }
    expect(rows).toEqual([
      { project: expected[project_names] },
      { project: expected[project_names] },
    ])
  },
)

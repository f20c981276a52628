import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BenchOptions, type Figure, median, ROOT } from './bench.ts'

/** Times the start of `node -e 0` that the list of tools may take. */
const TARGET = 8

const ENTRIES = [
  { name: 'built', path: join(ROOT, 'dist/src/main.js') },
  { name: 'sources', path: join(ROOT, 'src/main.ts') },
]

const ANSWER_ID = 2

/** What the two generations of clients write first, up to the question for the tools. */
const CLIENTS: Readonly<Record<string, readonly object[]>> = {
  '2025-06-18': [
    {
      id: 1,
      method: 'initialize',
      params: {
        protocolVersion: '2025-06-18',
        capabilities: {},
        clientInfo: { name: 'bench', version: '1' },
      },
    },
    { method: 'notifications/initialized' },
    { id: ANSWER_ID, method: 'tools/list' },
  ],
  '2026-07-28': [
    {
      id: ANSWER_ID,
      method: 'tools/list',
      params: {
        _meta: {
          'io.modelcontextprotocol/protocolVersion': '2026-07-28',
          'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1' },
          'io.modelcontextprotocol/clientCapabilities': {},
        },
      },
    },
  ],
}

/**
 * From `spawn` to the answer's line, each time right after a `node -e 0` of the same binary, so that a
 * busy machine slows both. The figure is the median of the ratios.
 */
export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-bench-'))
  const figures: Figure[] = []
  try {
    for (const { name, path } of ENTRIES) {
      if (!existsSync(path)) {
        console.warn(`skipped: ${name} start, there is no ${path} (npm run build)`)
        continue
      }
      for (const [revision, messages] of Object.entries(CLIENTS))
        figures.push(await compare(`${name}, ${revision}`, path, messages, home, is_smoke ? 1 : 21))
    }
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
  return figures
}

async function compare(
  name: string,
  path: string,
  messages: readonly object[],
  home: string,
  runs: number,
): Promise<Figure> {
  const lines = messages.map((one) => `${JSON.stringify({ jsonrpc: '2.0', ...one })}\n`).join('')
  const env = { PATH: process.env['PATH'], TMPDIR: tmpdir(), OUTLAY_HOME: home }
  await timeStart([path], lines, env) // fills the compile cache
  const pairs: { base: number; ours: number }[] = []
  for (let i = 0; i < runs; i++)
    pairs.push({
      base: await timeStart(['-e', '0'], '', env),
      ours: await timeStart([path], lines, env),
    })
  return {
    name,
    value: median(pairs.map(({ base, ours }) => ours / base)),
    unit: '× node -e 0',
    target: TARGET,
    bound: 'at_most',
    note: `${median(pairs.map(({ ours }) => ours)).toFixed(0)} ms to ${median(pairs.map(({ base }) => base)).toFixed(0)} ms, ${runs} pairs`,
  }
}

/** Milliseconds until the list has been answered, or, where nothing is asked, until the process ended. */
async function timeStart(
  args: readonly string[],
  lines: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const start = performance.now()
  const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  let answered: number | undefined
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8')
    if (answered !== undefined || !hasTools(text)) return
    answered = performance.now() - start
    child.stdin.end()
  })
  if (lines) child.stdin.write(lines)
  else child.stdin.end()
  await new Promise((resolve) => child.once('exit', resolve))
  if (lines && answered === undefined) throw new Error(`no list of tools: ${text.slice(0, 500)}`)
  return answered ?? performance.now() - start
}

function hasTools(text: string): boolean {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { id?: number; result?: { tools?: unknown[] } })
    .some(({ id, result }) => id === ANSWER_ID && (result?.tools?.length ?? 0) > 0)
}

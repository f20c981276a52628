import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { NODE_FLOOR } from '../../src/version.ts'

const ENTRY = join(import.meta.dirname, '../../src/main.ts')

const META = {
  _meta: {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'probe', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  },
}
const INITIALIZE = {
  protocolVersion: '2025-06-18',
  capabilities: {},
  clientInfo: { name: 'probe', version: '1' },
}

/** What hosts ask a throw-away sibling, in both generations of the protocol. */
const LISTS = ['tools/list', 'resources/list', 'resources/templates/list', 'prompts/list']
const MODERN: Request[] = ['server/discover', ...LISTS].map((method) => ({ method, params: META }))
const OLDER: Request[] = [
  { method: 'initialize', params: INITIALIZE },
  ...LISTS.map((method) => ({ method, params: {} })),
]

describe('outlay stdio before the first question', () => {
  test.each([
    { era: '2026-07-28', requests: MODERN },
    { era: '2025-06-18', requests: OLDER },
  ])(
    'answers every list of $era without a key, a folder, a file or a port',
    async ({ requests }) => {
      const parent = temporaryFolder()
      const home = join(parent, 'home')
      const port = await freePort()
      const siblings = [startStdio({ home, port }), startStdio({ home, port })]
      for (const sibling of siblings)
        for (const request of requests) expect(await sibling.ask(request)).toHaveProperty('result')
      expect(existsSync(home)).toBe(false)
      expect(readdirSync(parent)).toEqual([])
      for (const { pid } of siblings) expect(listSockets(pid)).toEqual([])
      await listenOnce(port)
      for (const sibling of siblings) expect(await sibling.end()).toBe(0)
      expect(existsSync(home)).toBe(false)
    },
  )

  test('a question opens the store once; a second process on it reads beside the first', async () => {
    const home = join(temporaryFolder(), 'home')
    const port = await freePort()
    const first = startStdio({ home, port })
    const second = startStdio({ home, port })
    const status = { method: 'tools/call', params: { ...META, name: 'get_status', arguments: {} } }
    const answers = await Promise.all([first.ask(status), second.ask(status)])
    const owners = answers.map(ownerOf)
    expect(owners.toSorted()).toEqual(['other', 'this'])
    expect(existsSync(join(home, 'outlay.db'))).toBe(true)
    expect(await Promise.all([first.end(), second.end()])).toEqual([0, 0])
  })
})

describe('a Node that is too old', () => {
  const old = findOldNode()
  if (!old) console.warn(`skipped: no Node below ${NODE_FLOOR} on the PATH`)

  test.skipIf(!old)('is told so in one sentence', () => {
    const folder = temporaryFolder()
    // An old Node reads no types: these are the two files that it gets to see, without them.
    for (const name of ['main', 'version']) {
      const source = readFileSync(join(import.meta.dirname, `../../src/${name}.ts`), 'utf8')
      const plain = stripTypeScriptTypes(source).replaceAll(".ts'", ".mjs'")
      writeFileSync(join(folder, `${name}.mjs`), plain)
    }
    let failure: { status?: number; stderr?: string; stdout?: string } = {}
    try {
      execFileSync(old ?? '', [join(folder, 'main.mjs')], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    } catch (error) {
      failure = error as typeof failure
    }
    expect(failure.status).toBe(1)
    expect(failure.stdout).toBe('')
    expect(failure.stderr).toMatch(
      /^Outlay needs Node 22\.19\.0 or newer; this is \d+\.\d+\.\d+\. .+\n$/,
    )
  })
})

type Request = { readonly method: string; readonly params: object }
type Answer = { readonly id?: number; readonly result?: { readonly structuredContent?: unknown } }

function startStdio({ home, port }: { home: string; port: number }) {
  const child: ChildProcess = spawn(process.execPath, [ENTRY], {
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      OUTLAY_HOME: home,
      OUTLAY_PORT: String(port),
      OUTLAY_TIMEZONE: 'UTC',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const waiting = new Map<number, (answer: Answer) => void>()
  let rest = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('utf8')).split('\n')
    rest = lines.pop() ?? ''
    for (const answer of lines.map((line) => JSON.parse(line) as Answer))
      waiting.get(answer.id ?? 0)?.(answer)
  })
  let id = 0
  return {
    pid: child.pid ?? 0,
    ask({ method, params }: Request): Promise<Answer> {
      id += 1
      const answer = new Promise<Answer>((resolve) => waiting.set(id, resolve))
      child.stdin?.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
      return answer
    },
    end() {
      child.stdin?.end()
      return exited
    },
  }
}

function ownerOf({ result }: Answer): unknown {
  return (result?.structuredContent as { owner?: string } | undefined)?.owner
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'outlay-start-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Sockets that a process holds; only Linux says, elsewhere the port itself is tried. */
function listSockets(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  if (!existsSync(folder)) return []
  const targets = readdirSync(folder).flatMap((fd) => (Number(fd) > 2 ? linkOf(folder, fd) : []))
  return targets.filter((target) => target.startsWith('socket:') || /outlay\.db/.test(target))
}

function linkOf(folder: string, fd: string): string[] {
  try {
    return [readlinkSync(join(folder, fd))]
  } catch {
    return []
  }
}

async function freePort(): Promise<number> {
  return listenOnce(0)
}

/** Listens and stops again: the proof that nobody else listens there. */
function listenOnce(port: number): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}

/** The first `node` on the PATH that is below what the program needs. */
function findOldNode(): string | undefined {
  const floor = NODE_FLOOR.split('.').map(Number)
  const candidates = (process.env['PATH'] ?? '').split(delimiter).map((path) => join(path, 'node'))
  return candidates.find((node) => {
    if (!existsSync(node)) return false
    const version = execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' })
    const parts = version.trim().split('.').map(Number)
    const [a = 0, b = 0] = parts
    return a < (floor[0] ?? 0) || (a === floor[0] && b < (floor[1] ?? 0))
  })
}

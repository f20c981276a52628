import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findProgram } from './bench.ts'

/** A server that takes chat requests and passes them on to the far end. */
export type Variant = {
  readonly name: string
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** The process that does the work. */
  readonly pid: number
}

export type Place = {
  /** Goes when the bench is over. */
  readonly folder: string
  readonly children: ChildProcess[]
}

const CHAT = '/v1/chat/completions'
const PORTKEY = '@portkey-ai/gateway@1.15.2'
/** Streams of 1.15.2 as installed all fail with a newer one: Portkey-AI/gateway#1389. */
const PORTKEY_NODE_SERVER = '1.13.8'

/** The provider, asked without anything between. */
export async function startFarEnd(place: Place): Promise<Variant> {
  const { port, pid } = await startNode('proxy-far-end.ts', [], place)
  return { name: 'direct', port, path: CHAT, headers: {}, pid }
}

export async function startBare(place: Place, upstream: number): Promise<Variant> {
  const { port, pid } = await startNode('proxy-bare.ts', [String(upstream)], place)
  pin(pid)
  return { name: 'bare', port, path: CHAT, headers: {}, pid }
}

/** The program as it is installed, with a key, a blocking budget over it and a ledger on disk. */
export async function startOutlay(place: Place, upstream: number): Promise<Variant> {
  const { path: program } = findProgram()
  const port = await freePort()
  const env = {
    ...process.env,
    OUTLAY_HOME: join(place.folder, 'home'),
    OUTLAY_PORT: String(port),
    OUTLAY_OPENAI_BASE_URL: `http://127.0.0.1:${upstream}/v1`,
  }
  const outlay = (args: readonly string[], input = '') =>
    execFileSync(process.execPath, [program, ...args], { env, input, stdio: 'pipe' }).toString()
  outlay(['connect', 'openai', '--kind', 'inference'], 'sk-proj-bench-0123456789abcdefgh')
  const { key } = JSON.parse(outlay(['keys', 'create', 'bench', '--providers', 'openai', '--json']))
  outlay(['budgets', 'create', '--name', 'bench', '--scope', 'all', ...BUDGET])
  const child = spawn(process.execPath, [program, 'serve'], { env, stdio: 'ignore' })
  const pid = await waitForPort(place, child, port)
  const headers = { authorization: `Bearer ${key}` }
  return { name: 'outlay', port, path: `/proxy/openai${CHAT}`, pid, headers }
}

const BUDGET = ['--period', 'month', '--limit', '1000000', '--action', 'block']

/** Undefined where nginx is not installed. */
export async function startNginx(place: Place, upstream: number): Promise<Variant | undefined> {
  const { folder } = place
  const port = await freePort()
  const conf = join(folder, 'nginx.conf')
  writeFileSync(
    conf,
    `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 2048; }
http { access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  keepalive_requests 10000000;
  upstream far { server 127.0.0.1:${upstream}; keepalive 512; keepalive_requests 10000000; }
  server { listen 127.0.0.1:${port} backlog=2048; location / { proxy_pass http://far; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }`,
  )
  const child = spawn('nginx', ['-c', conf, '-p', folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  child.once('error', () => {})
  if (child.pid === undefined) {
    console.warn('nginx is not installed: nothing to compare with')
    return undefined
  }
  const pid = childOf(await waitForPort(place, child, port))
  pin(pid)
  return { name: 'nginx', port, path: CHAT, headers: {}, pid }
}

/** nginx's own process only watches; the one below it works. */
function childOf(pid: number): number {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || !existsSync(`/proc/${name}/stat`)) continue
    const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    if (Number(fields[1]) === pid) return Number(name)
  }
  throw new Error('nginx has no worker')
}

/** Undefined where it cannot be installed. */
export async function startPortkey(place: Place, upstream: number): Promise<Variant | undefined> {
  const { folder } = place
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, overrides: { '@hono/node-server': PORTKEY_NODE_SERVER } }),
  )
  try {
    execFileSync('npm', ['install', '--no-audit', '--no-fund', PORTKEY], {
      cwd: folder,
      stdio: 'ignore',
    })
  } catch {
    console.warn(`${PORTKEY} could not be installed: nothing to compare with`)
    return undefined
  }
  const port = await freePort()
  const script = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  const child = spawn(process.execPath, [script, '--headless', `--port=${port}`], {
    stdio: 'ignore',
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const pid = await waitForPort(place, child, port)
  const headers = {
    authorization: 'Bearer sk-real',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${upstream}/v1`,
  }
  return { name: 'portkey', port, path: CHAT, headers, pid }
}

async function startNode(script: string, args: readonly string[], { children }: Place) {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  for await (const line of createInterface({ input: child.stdout }))
    return { port: Number(line), pid: child.pid ?? 0 }
  throw new Error(`${script} did not start`)
}

/** A port that was free a moment ago, for programs that cannot pick one themselves. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function waitForPort(place: Place, child: ChildProcess, port: number): Promise<number> {
  place.children.push(child)
  const pid = child.pid ?? 0
  for (let tries = 0; tries < 200; tries++) {
    const is_up = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    )
    if (is_up) {
      pin(pid)
      return pid
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`nothing answers on port ${port}`)
}

/** One core for the servers that are compared, all threads of them; the rest of the machine is the load's. */
function pin(pid: number): void {
  if (availableParallelism() < 2) return
  const core = String(availableParallelism() - 1)
  const { status } = spawnSync('taskset', ['-a', '-c', '-p', core, String(pid)], {
    stdio: 'ignore',
  })
  if (status !== 0) console.warn('taskset does not work here: a server may use several cores')
}

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type BenchOptions, type Figure, findProgram, runScript } from './bench.ts'
import { cpuSecondsOf, rssMb } from './process.ts'

type Variant = {
  readonly name: string
  readonly url: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** The process that does the work. */
  readonly pid: number
}

type Loaded = { rps: number; p50: number; p99: number; failed: number }
type Measured = Loaded & { cpu_us: number; rss_mb: number }

const PORTKEY = '@portkey-ai/gateway@1.15.2'
/** Streams of 1.15.2 as installed all fail with a newer one: Portkey-AI/gateway#1389. */
const PORTKEY_NODE_SERVER = '1.13.8'

/**
 * The proxy beside nginx, a bare pass-through and another gateway, in one run on one machine, with
 * budgets and ledger on. CPU time is read from /proc, so that the load's own share is not in it.
 */
export async function run({ is_smoke }: BenchOptions): Promise<Figure[]> {
  if (!existsSync('/proc/self/stat')) {
    console.warn('skipped: the CPU time of other processes is read from /proc, which is not here')
    return []
  }
  const folder = mkdtempSync(join(tmpdir(), 'outlay-bench-'))
  const children: ChildProcess[] = []
  try {
    const far_end = await startNode('proxy-far-end.ts', [], children)
    const variants = [
      await startNginx(folder, far_end.port, children),
      await startBare(far_end.port, children),
      await startOutlay(folder, far_end.port, children),
      ...(is_smoke ? [] : await startPortkey(folder, far_end.port, children)),
    ].filter((one) => one !== undefined)
    const direct = {
      name: 'direct',
      url: `http://127.0.0.1:${far_end.port}`,
      path: CHAT,
      headers: {},
      pid: far_end.pid,
    }
    return await measureAll(direct, variants, is_smoke ? 0.02 : 1)
  } finally {
    for (const child of children) child.kill('SIGTERM')
    rmSync(folder, { recursive: true, force: true })
  }
}

const CHAT = '/v1/chat/completions'

function body(is_stream: boolean): string {
  const messages = [{ role: 'user', content: 'word '.repeat(100) }]
  return JSON.stringify({ model: 'gpt-5.4', max_tokens: 256, messages, stream: is_stream })
}

async function measureAll(direct: Variant, variants: Variant[], scale: number): Promise<Figure[]> {
  const by_name = new Map<
    string,
    { json: Measured; sse: Measured; slow: Measured; wide: Measured }
  >()
  const slow_headers = { 'x-delay-ms': '20' }
  const wide_headers = { 'x-delay-ms': '20', 'x-chunk-ms': '2' }
  const base = await load(direct, {
    body: body(false),
    connections: 32,
    requests: 3_000 * scale,
    headers: slow_headers,
  })
  for (const one of variants) {
    const json = { body: body(false), connections: 32, headers: {} }
    await load(one, { ...json, requests: 3_000 * scale })
    by_name.set(one.name, {
      json: await load(one, { ...json, requests: 8_000 * scale }),
      sse: await load(one, {
        body: body(true),
        connections: 32,
        requests: 1_000 * scale,
        headers: {},
      }),
      slow: await load(one, { ...json, requests: 3_000 * scale, headers: slow_headers }),
      wide: await load(one, {
        body: body(true),
        connections: 256,
        requests: 768 * scale,
        headers: wide_headers,
      }),
    })
  }
  return figuresOf(base, by_name)
}

type Numbers = NonNullable<
  Parameters<typeof figuresOf>[1] extends Map<string, infer One> ? One : never
>

function figuresOf(
  base: Loaded,
  by_name: Map<string, { json: Measured; sse: Measured; slow: Measured; wide: Measured }>,
): Figure[] {
  const ours = by_name.get('outlay')
  if (!ours) throw new Error('the proxy was not measured')
  const target = (name: string, pick: (one: Numbers) => number, factor: number) => {
    const other = by_name.get(name)
    return other
      ? {
          target: pick(other) * factor,
          bound: 'at_most' as const,
          note: `${factor.toFixed(3)} × ${name}`,
        }
      : {}
  }
  const others = [...by_name].filter(([name]) => name !== 'outlay')
  const bare = by_name.get('bare')?.json
  return [
    {
      name: 'CPU a JSON request',
      value: ours.json.cpu_us,
      unit: 'µs',
      ...target('nginx', ({ json }) => json.cpu_us, 3),
    },
    {
      name: 'CPU a JSON request',
      value: ours.json.cpu_us,
      unit: 'µs',
      ...target('portkey', ({ json }) => json.cpu_us, 1 / 13),
    },
    {
      name: 'CPU a stream of 50',
      value: ours.sse.cpu_us,
      unit: 'µs',
      ...target('nginx', ({ sse }) => sse.cpu_us, 1.5),
    },
    {
      name: 'added p50 at 20 ms',
      value: ours.slow.p50 - base.p50,
      unit: 'ms',
      target: 0.8,
      bound: 'at_most',
    },
    {
      name: 'added p99 at 20 ms',
      value: ours.slow.p99 - base.p99,
      unit: 'ms',
      target: 6,
      bound: 'at_most',
    },
    {
      name: 'requests a core and s',
      value: 1e6 / ours.json.cpu_us,
      unit: '1/s',
      target: Math.min(12_000, bare ? 0.5e6 / bare.cpu_us : 12_000),
      bound: 'at_least',
    },
    {
      name: 'RSS at 256 streams',
      value: ours.wide.rss_mb,
      unit: 'MB',
      target: 170,
      bound: 'at_most',
    },
    ...others.flatMap(([name, one]) => [
      {
        name: `${name}: CPU a JSON request`,
        value: one.json.cpu_us,
        unit: 'µs',
        note: `${Math.round(one.json.rps)} requests/s, ${one.json.failed} failed`,
      },
      {
        name: `${name}: CPU a stream of 50`,
        value: one.sse.cpu_us,
        unit: 'µs',
        note: `${one.sse.failed} failed`,
      },
      {
        name: `${name}: added p50, p99`,
        value: one.slow.p50 - base.p50,
        unit: 'ms',
        note: `p99 ${(one.slow.p99 - base.p99).toFixed(2)} ms`,
      },
      { name: `${name}: RSS at 256 streams`, value: one.wide.rss_mb, unit: 'MB' },
    ]),
    {
      name: 'failed requests',
      value: ours.json.failed + ours.sse.failed + ours.slow.failed + ours.wide.failed,
      unit: '',
      target: 0,
      bound: 'at_most',
    },
  ]
}

type Work = { body: string; connections: number; requests: number; headers: Record<string, string> }

async function load(variant: Variant, work: Work): Promise<Measured> {
  const requests = Math.max(Math.round(work.requests), work.connections)
  const before = cpuSecondsOf(variant.pid)
  const { url, path } = variant
  const headers = { 'content-type': 'application/json', ...variant.headers, ...work.headers }
  const spec = { url, path, headers, body: work.body, connections: work.connections, requests }
  const loaded = await runScript<Loaded>('proxy-load.ts', [JSON.stringify(spec)], {})
  const cpu_s = cpuSecondsOf(variant.pid) - before
  return {
    ...loaded,
    cpu_us: (cpu_s / requests) * 1e6,
    rss_mb: rssMb(variant.pid, 'peak'),
  }
}

async function startNode(script: string, args: readonly string[], children: ChildProcess[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  for await (const line of createInterface({ input: child.stdout }))
    return { port: Number(line), pid: child.pid ?? 0 }
  throw new Error(`${script} did not start`)
}

async function startBare(upstream: number, children: ChildProcess[]): Promise<Variant> {
  const { port, pid } = await startNode('proxy-bare.ts', [String(upstream)], children)
  return { name: 'bare', url: `http://127.0.0.1:${port}`, path: CHAT, pid, headers: {} }
}

/** The program as it is installed, with a key, a blocking budget over it and a ledger on disk. */
async function startOutlay(
  folder: string,
  upstream: number,
  children: ChildProcess[],
): Promise<Variant> {
  const { path: program } = findProgram()
  const port = portNear(upstream, 3)
  const env = {
    ...process.env,
    OUTLAY_HOME: join(folder, 'home'),
    OUTLAY_PORT: String(port),
    OUTLAY_OPENAI_BASE_URL: `http://127.0.0.1:${upstream}/v1`,
  }
  const outlay = (args: readonly string[], input = '') =>
    execFileSync(process.execPath, [program, ...args], { env, input, stdio: 'pipe' }).toString()
  outlay(['connect', 'openai', '--kind', 'inference'], 'sk-proj-bench-0123456789abcdefgh')
  const { key } = JSON.parse(outlay(['keys', 'create', 'bench', '--providers', 'openai', '--json']))
  outlay(['budgets', 'create', '--name', 'bench', '--scope', 'all', ...BUDGET])
  const child = spawn(process.execPath, [program, 'serve'], { env, stdio: 'ignore' })
  children.push(child)
  await waitForPort(port)
  const headers = { authorization: `Bearer ${key}` }
  const url = `http://127.0.0.1:${port}`
  return { name: 'outlay', url, path: `/proxy/openai${CHAT}`, pid: child.pid ?? 0, headers }
}

const BUDGET = ['--period', 'month', '--limit', '1000000', '--action', 'block']

/** Some port that is probably free, the same for the same neighbour. */
function portNear(port: number, step: number): number {
  return port + 1_000 + step > 65_000 ? port - 7_000 - step : port + 1_000 + step
}

async function startNginx(
  folder: string,
  upstream: number,
  children: ChildProcess[],
): Promise<Variant | undefined> {
  const port = portNear(upstream, 1)
  const conf = join(folder, 'nginx.conf')
  writeFileSync(
    conf,
    `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 2048; }
http { access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  keepalive_requests 1000000;
  upstream far { server 127.0.0.1:${upstream}; keepalive 512; keepalive_requests 1000000; }
  server { listen 127.0.0.1:${port} backlog=2048; location / { proxy_pass http://far; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }`,
  )
  const child = spawn('nginx', ['-c', conf, '-p', folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  children.push(child)
  const is_missing = await Promise.race([
    new Promise<boolean>((resolve) => child.once('error', () => resolve(true))),
    waitForPort(port).then(() => false),
  ])
  if (is_missing) {
    console.warn('nginx is not installed: nothing to compare with')
    return undefined
  }
  return {
    name: 'nginx',
    url: `http://127.0.0.1:${port}`,
    path: CHAT,
    headers: {},
    pid: childOf(child.pid ?? 0),
  }
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

async function startPortkey(
  folder: string,
  upstream: number,
  children: ChildProcess[],
): Promise<Variant[]> {
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
    return []
  }
  const port = portNear(upstream, 2)
  const script = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  const child = spawn(process.execPath, [script, '--headless', `--port=${port}`], {
    stdio: 'ignore',
    env: { ...process.env, NODE_ENV: 'production' },
  })
  children.push(child)
  await waitForPort(port)
  const headers = {
    authorization: 'Bearer sk-real',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${upstream}/v1`,
  }
  return [
    { name: 'portkey', url: `http://127.0.0.1:${port}`, path: CHAT, headers, pid: child.pid ?? 0 },
  ]
}

async function waitForPort(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const is_up = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    )
    if (is_up) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`nothing answers on port ${port}`)
}

if (import.meta.main) {
  const { formatFigures } = await import('./bench.ts')
  const is_smoke = process.argv.includes('--smoke')
  console.log(formatFigures(await run({ is_smoke }), { is_smoke }))
}

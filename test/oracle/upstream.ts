import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { UsageEvent } from '../../src/ledger/event.ts'

const FILE = join(import.meta.dirname, '../../../shared/sim/upstream-sim.mjs')

/** False, and said so once, where the simulator is not there. */
export const has_upstream = existsSync(FILE)
if (!has_upstream) console.warn(`skipped: no simulator at ${FILE}`)

export const REAL_KEYS = {
  openai: 'sk-real-openai-sim',
  local: 'sk-real-openai-sim',
  anthropic: 'sk-ant-api03-real-sim',
  google: 'AIza-real-sim',
} as const

/** What one request was billed, in the simulator's own disjoint classes. */
export type Bill = Readonly<Record<string, number>>

export type UpstreamRow = {
  readonly id: number
  readonly provider: string
  readonly method: string
  readonly path: string
  readonly headers: readonly string[]
  readonly model: string | null
  readonly model_reply: string | null
  readonly tier: string | null
  readonly auth: readonly string[]
  readonly request_sha256: string
  readonly response_sha256: string | null
  readonly status: number
  readonly outcome: string
  readonly fault: string | null
  readonly usage: Bill
  readonly request_id: string | null
  readonly response_id: string | null
}

export type Upstream = {
  readonly base_urls: Readonly<Record<string, string>>
  control(path: string, body?: unknown): Promise<unknown>
  rows(): Promise<UpstreamRow[]>
  ledger(): Promise<{ leaks: unknown[]; in_flight: number; held: number; requests: UpstreamRow[] }>
  close(): void
}

export async function startUpstream(seed = 7): Promise<Upstream> {
  const child: ChildProcess = spawn(
    process.execPath,
    [FILE, '--port', '0', '--seed', String(seed)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  if (!child.stdout) throw new Error('the simulator has no stdout')
  const [line] = await Array.fromAsync(firstLine(child.stdout))
  const { port, openai, anthropic, google, compat } = JSON.parse(line ?? '{}')
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`http://127.0.0.1:${port}/__sim/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`simulator: ${await response.text()}`)
    return response.json()
  }
  const ledger = async () =>
    (await call('GET', 'ledger')) as Awaited<ReturnType<Upstream['ledger']>>
  return {
    base_urls: { openai, anthropic, google, local: compat },
    control: (path, body = {}) => call('POST', path, body),
    ledger,
    // A client has its answer a moment before the simulator has written its row to the end.
    async rows() {
      for (let i = 0; i < 100; i++) {
        const { requests } = await ledger()
        if (requests.every(({ outcome }) => outcome !== 'in_flight')) return requests
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return (await ledger()).requests
    },
    close: () => child.kill('SIGTERM'),
  }
}

/** Our counts in the simulator's words. Pictures beside counted tokens are not billed, so not compared. */
export function billOf({ usage }: UsageEvent): Bill {
  return {
    input_uncached_text: usage.uncached_input_tokens,
    input_cache_read: usage.cache_read_tokens,
    input_cache_write_5m: usage.cache_write_5m_tokens,
    input_cache_write_1h: usage.cache_write_1h_tokens,
    input_audio: usage.input_audio_tokens,
    output_text: usage.output_tokens - usage.reasoning_tokens,
    output_reasoning: usage.reasoning_tokens,
    output_audio: usage.output_audio_tokens,
    output_image: usage.output_image_tokens,
    web_search: usage.unit === 'web_search' ? usage.units : 0,
    images: usage.unit === 'image' ? usage.units : 0,
    seconds: usage.unit === 'second' ? usage.units : 0,
    characters: usage.unit === 'character' ? usage.units : 0,
  }
}

export function billOfRow({ usage }: UpstreamRow): Bill {
  const is_by_token = (usage['output_image'] ?? 0) > 0
  return { ...usage, images: is_by_token ? 0 : (usage['images'] ?? 0) }
}

async function* firstLine(stream: NodeJS.ReadableStream) {
  for await (const line of createInterface({ input: stream })) {
    yield line
    return
  }
}

import { Agent, request } from 'undici'
import type { Clock } from '../clock.ts'
import { UpstreamError } from '../errors.ts'
import { jitter } from '../ids.ts'
import type { Secret } from '../secret.ts'
import { VERSION } from '../version.ts'
import type { AdminApi, Get, Query } from './provider.ts'

export type HttpOptions = {
  readonly provider: string
  readonly admin: Pick<AdminApi, 'paths' | 'headers' | 'parseError'>
  readonly base_url: string
  readonly key: Secret
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
  readonly timeout_ms?: number
  readonly attempts_max?: number
  readonly backoff_ms?: number
  readonly body_bytes_max?: number
  /** How long a "slow down" is waited out in place; a longer one is thrown. */
  readonly patience_ms?: number
  /** The least time between two requests. */
  readonly pace_ms?: number
  /** Called when it turns out that the server's clock differs from ours by more than SKEW_MS; null: no more. */
  onSkew?(skew_ms: number | null): void
}

export type Http = { readonly get: Get; close(): Promise<void> }

const USER_AGENT = `outlay/${VERSION} (self-hosted LLM cost tracking)`
const SKEW_MS = 2 * 60_000
const RETRY_AFTER_DEFAULT_MS = 60_000
const RETRY_AFTER_MAX_MS = 15 * 60_000
/** A server in trouble that asks for more than this is left alone until the next run. */
const IN_PLACE_MAX_MS = 30_000
const RETRIED = new Set([408, 409])
const ERROR_BYTES_MAX = 64_000

/** GET only, below one base URL and on known paths only, with the retries that providers ask for. */
export function createGet(options: HttpOptions): Http {
  const { clock, signal, attempts_max = 5, backoff_ms = 2_000, patience_ms = 0 } = options
  const agent = new Agent({ keepAliveTimeout: 30_000, connect: { timeout: 10_000 } })
  const pace = createPace(clock, options.pace_ms ?? 0)
  const noteSkew = createSkewNote(options)
  async function get(query: Query): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      await pace(signal)
      try {
        return await send(agent, { ...options, noteSkew }, query)
      } catch (error) {
        signal?.throwIfAborted()
        const wait_ms = waitBefore(error, attempt, { backoff_ms, patience_ms })
        if (wait_ms === undefined || attempt >= attempts_max) throw error
        await clock.sleep(wait_ms, signal)
      }
    }
  }
  return { get, close: () => agent.destroy() }
}

/** How long to wait before the next attempt; undefined: do not try again. */
function waitBefore(
  error: unknown,
  attempt: number,
  { backoff_ms, patience_ms }: { backoff_ms: number; patience_ms: number },
): number | undefined {
  if (!(error instanceof UpstreamError)) return undefined
  const { status, detail } = error
  const asked_ms = detail.retry_after_ms
  // A longer wait is the caller's: the whole connection has to pause, not this request alone.
  if (status === 429)
    return detail.should_retry !== false && asked_ms !== undefined && asked_ms <= patience_ms
      ? asked_ms
      : undefined
  const is_transient = detail.should_retry ?? (status === 0 || status >= 500 || RETRIED.has(status))
  if (!is_transient || detail.code === 'window_too_large') return undefined
  if (asked_ms !== undefined && asked_ms > Math.max(patience_ms, IN_PLACE_MAX_MS)) return undefined
  return asked_ms ?? backoff_ms * 2 ** (attempt - 1) * (1 + jitter() * 0.2)
}

type SendOptions = HttpOptions & { noteSkew(date: string | undefined): void }

async function send(agent: Agent, options: SendOptions, query: Query): Promise<unknown> {
  const { provider, admin, key, signal, timeout_ms = 30_000 } = options
  if (!admin.paths.some((path) => path.test(query.path)))
    throw new Error(`${provider}: the path ${query.path} is not on the list of what may be read`)
  const url = new URL(options.base_url.replace(/\/+$/, '') + query.path)
  for (const [name, value] of query.params) url.searchParams.append(name, value)
  const deadline = AbortSignal.timeout(timeout_ms)
  try {
    const response = await request(url, {
      dispatcher: agent,
      headers: {
        accept: 'application/json',
        'user-agent': USER_AGENT,
        ...admin.headers(key.reveal()),
        ...query.headers,
      },
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    })
    options.noteSkew(single(response.headers['date']))
    if (response.statusCode !== 200)
      throw refusal(options, response, (await collect(response.body, ERROR_BYTES_MAX)) ?? '')
    const data = parseBody(provider, await readBody(response, options))
    query.onHeaders?.(Object.fromEntries(Object.entries(response.headers).map(firstValue)))
    return data
  } catch (error) {
    if (error instanceof UpstreamError || signal?.aborted) throw error
    throw unreachable(provider, error, deadline.aborted, timeout_ms)
  }
}

type Response = Awaited<ReturnType<typeof request>>

/** A report over the cap is a window to be cut, not a body to be kept. */
async function readBody(
  { body }: Response,
  { provider, body_bytes_max = 20_000_000 }: HttpOptions,
): Promise<string> {
  const text = await collect(body, body_bytes_max)
  if (text !== undefined) return text
  throw new UpstreamError(provider, 200, `${provider} sent more than is read at once.`, {
    code: 'window_too_large',
  })
}

async function collect(body: Response['body'], bytes_max: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    const part = chunk as Uint8Array
    bytes += part.length
    if (bytes > bytes_max) {
      body.destroy()
      return undefined
    }
    chunks.push(part)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseBody(provider: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new UpstreamError(provider, 0, `${provider} sent an answer that is not complete JSON.`)
  }
}

/** Our own sentence: the provider's text can carry anything and is never passed on. */
function refusal({ provider, admin, clock }: HttpOptions, response: Response, text: string) {
  const { statusCode, headers } = response
  const { code, param } = parseRefusal(admin, text)
  const hint = code ? ` (${code})` : ''
  return new UpstreamError(provider, statusCode, `${provider} answered ${statusCode}${hint}.`, {
    code,
    param,
    request_id: single(headers['request-id']) ?? single(headers['x-request-id']),
    should_retry: parseFlag(single(headers['x-should-retry'])),
    retry_after_ms:
      retryAfter(headers, clock.now()) ?? (statusCode === 429 ? RETRY_AFTER_DEFAULT_MS : undefined),
  })
}

function parseRefusal(admin: HttpOptions['admin'], text: string) {
  try {
    const { code, param } = admin.parseError(JSON.parse(text))
    return { code: safeWord(code), param: safeWord(param) }
  } catch {
    return { code: undefined, param: undefined }
  }
}

/** Machine-readable words only: whatever else a provider puts there stays there. */
function safeWord(text: string | undefined): string | undefined {
  return text !== undefined && /^[\w.[\]-]{1,64}$/.test(text) && !/^sk-/.test(text)
    ? text
    : undefined
}

function unreachable(provider: string, cause: unknown, is_timeout: boolean, timeout_ms: number) {
  const reason = is_timeout
    ? `did not answer within ${timeout_ms / 1000} s`
    : `could not be reached (${errorCode(cause)})`
  return new UpstreamError(provider, 0, `${provider} ${reason}.`, { cause })
}

function errorCode(error: unknown): string {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' ? code : 'the connection was cut'
}

/** In milliseconds, at most 15 minutes: https://developer.mozilla.org/docs/Web/HTTP/Headers/Retry-After */
function retryAfter(headers: Response['headers'], now: number): number | undefined {
  const ms = Number(single(headers['retry-after-ms']) ?? Number.NaN)
  const after = single(headers['retry-after'])
  const seconds = Number(after ?? Number.NaN)
  // A date is meant on the server's own clock, which its Date header tells.
  const server_now = Date.parse(single(headers['date']) ?? '') || now
  const until = Date.parse(after ?? '') - server_now
  const wait = [ms, seconds * 1000, until].find((value) => Number.isFinite(value))
  return wait === undefined ? undefined : Math.min(Math.max(Math.ceil(wait), 0), RETRY_AFTER_MAX_MS)
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function firstValue([name, value]: [string, string | string[] | undefined]) {
  return [name, single(value)] as const
}

function parseFlag(text: string | undefined): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

/** Tells a change only: a clock that was set right must not be complained of any longer. */
function createSkewNote({ clock, onSkew }: HttpOptions) {
  let told: boolean | undefined
  return function noteSkew(date: string | undefined): void {
    const skew_ms = Date.parse(date ?? '') - clock.now()
    const is_off = Math.abs(skew_ms) > SKEW_MS
    if (!Number.isFinite(skew_ms) || is_off === told) return
    told = is_off
    onSkew?.(is_off ? skew_ms : null)
  }
}

function createPace(clock: Clock, pace_ms: number) {
  let next_at = 0
  return async function pace(signal: AbortSignal | undefined): Promise<void> {
    if (pace_ms === 0) return
    const now = clock.wallNow()
    const wait_ms = next_at - now
    next_at = Math.max(now, next_at) + pace_ms
    if (wait_ms > 0) await clock.sleep(wait_ms, signal)
  }
}

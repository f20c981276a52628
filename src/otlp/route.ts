import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import type { Clock } from '../clock.ts'
import { newId } from '../ids.ts'
import type { Log } from '../log.ts'
import { encodingOf, FULL, formatRefusal, formatSuccess, type Refusal } from './answer.ts'
import { BodyError, readBody } from './body.ts'
import type { Encoding } from './decode.ts'
import { BadPayload, SIGNALS, type Signal, TooManyItems } from './decode-batch.ts'
import { type BookAll, type BookContext, createInbox, isStoreTrouble } from './inbox.ts'
import { RETRY_AFTER_S } from './limits.ts'
import type { Sieves } from './sieve.ts'

/** A request that was not taken: what is told to the sender, and who it seems to be. */
export type Refused = {
  /** `misdirected`: telemetry that was sent to a path where none is taken. Null: it did not say. */
  readonly signal: Signal | 'misdirected' | null
  readonly status: number
  readonly user_agent: string
}

export type OtlpDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly bookAll: BookAll
  /** What need not be read, since `bookAll` would ignore it. */
  readonly sieves?: Sieves
  /** Whose token it is, or why the request is not let in. Absent: everybody is. */
  readonly authorize?: (header: string | undefined) => Promise<BookContext['token'] | Refusal>
  readonly onRefused?: (refused: Refused) => void
}

type Env = { Bindings: HttpBindings }
type OtlpContext = Context<Env>

/**
 * OTLP/HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp. A batch is on disk before it is
 * acknowledged, since some exporters send once and never again.
 */
export function otlpRoute(deps: OtlpDeps): Hono<Env> {
  const inbox = createInbox(deps.bookAll, { sieves: deps.sieves ?? {} })
  const hono = new Hono<Env>()

  async function receive(c: OtlpContext, signal: Signal, encoding: Encoding): Promise<Response> {
    const token = (await deps.authorize?.(c.req.header('authorization'))) ?? null
    if (token && 'status' in token) return refuse(c, signal, token)
    const space = inbox.open()
    if (!space) return refuse(c, signal, FULL)
    try {
      const body = await readBody(c.env.incoming, space)
      const context = { received_at: deps.clock.now(), token }
      const booked = await inbox.push({ signal, encoding, body, context })
      return formatSuccess(encoding, signal, booked)
    } catch (error) {
      return refuse(c, signal, refusalOf(error, deps.log))
    } finally {
      space.close()
    }
  }

  function refuse(c: OtlpContext, signal: Refused['signal'], refusal: Refusal): Response {
    const user_agent = c.req.header('user-agent') ?? ''
    deps.onRefused?.({ signal, status: refusal.status, user_agent })
    return formatRefusal(encodingOf(c.req.header('content-type')), refusal)
  }

  for (const signal of SIGNALS) {
    hono.post(`/v1/${signal}`, (c) => {
      const encoding = encodingOf(c.req.header('content-type'))
      return encoding ? receive(c, signal, encoding) : refuse(c, signal, UNKNOWN_TYPE)
    })
    hono.all(`/v1/${signal}`, (c) => formatRefusal(encodingOf(c.req.header('content-type')), POST))
  }
  for (const path of ['/', '/v1/*'])
    hono.post(path, async (c, next) =>
      isTelemetry(c) ? refuse(c, 'misdirected', MISDIRECTED) : next(),
    )
  return hono
}

const PATHS = SIGNALS.map((signal) => `/v1/${signal}`).join(', ')

const UNKNOWN_TYPE: Refusal = {
  status: 415,
  message: 'The content type is not known. Known: application/x-protobuf, application/json.',
}

const POST: Refusal = {
  status: 405,
  message: 'Telemetry is sent with POST.',
  headers: { Allow: 'POST' },
}

const MISDIRECTED: Refusal = {
  status: 404,
  message: `No telemetry is taken at this path; the exporter's endpoint must be one of ${PATHS}. Some clients add the path to a base URL by themselves, others (Codex) need it in full.`,
}

/** Nothing else comes as protobuf; JSON is telemetry at the root or where a path says so. */
function isTelemetry(c: OtlpContext): boolean {
  const encoding = encodingOf(c.req.header('content-type'))
  if (encoding !== 'json') return encoding === 'protobuf'
  return c.req.path === '/' || /\/v1\/(logs|metrics|traces)\/?$/.test(c.req.path)
}

/** What went wrong, for the sender; a defect is logged under an id and told as one. */
function refusalOf(error: unknown, log: Log): Refusal {
  if (error instanceof BodyError) return error.refusal
  if (error instanceof BadPayload) return { status: 400, message: error.message }
  if (error instanceof TooManyItems) return { status: 413, message: error.message }
  if (isStoreTrouble(error)) {
    log.warn('telemetry could not be stored', { reason: (error as Error).message })
    const headers = { 'Retry-After': String(RETRY_AFTER_S) }
    return { status: 503, message: 'The store cannot write just now. Send it again.', headers }
  }
  const id = newId('err')
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
  log.warn(`defect ${id} in telemetry: ${reason}`)
  return { status: 500, message: `Internal error ${id}.` }
}

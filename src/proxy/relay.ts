import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import type { JsonObject } from '../providers/wire.ts'
import { errorAnswer } from './error-answer.ts'
import { responseHeaders } from './headers.ts'
import { createOutlet, type Outlet } from './outlet.ts'
import { Refusal, sendRefusal, streamError } from './refusal.ts'
import type { Relayed } from './relayed.ts'
import type { Outcome } from './settlement.ts'
import type { Tap } from './tap.ts'

const ERROR_BYTES_MAX = 1024 * 1024
/** How long and how far an answer is read on for a client that has left. */
const DRAIN_MS = 60_000
const DRAIN_BYTES_MAX = 32 * 1024 * 1024

/**
 * Passes an answer on as it comes: each chunk at once, at the client's pace, and the last one when the
 * request is booked. Resolves when all is over, whatever happened.
 */
export function relay(
  dispatch: (handler: Dispatcher.DispatchHandler) => void,
  outgoing: ServerResponse,
  relayed: Relayed,
): Promise<'done' | 'retry'> {
  return new Promise((resolve) => {
    const handler = new Relay(outgoing, relayed, resolve)
    try {
      dispatch(handler)
    } catch (error) {
      handler.onResponseError(undefined, error instanceof Error ? error : new Error('not sent'))
    }
  })
}

const CLIENT_LEFT = new Error('the client left')
const OVER_HOLD = new Error('the answer reached its hold')

class Relay implements Dispatcher.DispatchHandler {
  readonly #outgoing: ServerResponse
  readonly #outlet: Outlet
  readonly #relayed: Relayed
  readonly #resolve: (how: 'done' | 'retry') => void
  #controller: Dispatcher.DispatchController | undefined
  #was_sent = false
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #tap: Tap | null = null
  /** Set for an answer that is kept whole and looked through before it goes on. */
  #error: Buffer[] | null = null
  #error_bytes = 0
  #by_event = false
  /** Events come from a decoder, in its own time; the client gets them plain. */
  #is_decoded = false
  #events: Buffer[] = []
  /** What the client gets when it is booked; null before that. */
  #held: Buffer[] | null = null
  #remaining = Number.POSITIVE_INFINITY
  #settling: Promise<void> | undefined
  #client_left = false
  #is_over = false
  #drained_bytes = 0
  #drain_timer: NodeJS.Timeout | undefined
  readonly #onDrain = () => this.#controller?.resume()
  readonly #onClose = () => this.#clientLeft()

  constructor(
    outgoing: ServerResponse,
    relayed: Relayed,
    resolve: (how: 'done' | 'retry') => void,
  ) {
    this.#outgoing = outgoing
    this.#outlet = createOutlet(outgoing, () => this.#controller?.pause())
    this.#relayed = relayed
    this.#resolve = resolve
    outgoing.on('drain', this.#onDrain)
    outgoing.once('close', this.#onClose)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#outgoing.destroyed) controller.abort(CLIENT_LEFT)
    else this.#was_sent = true
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
    if (status >= 400) {
      this.#error = []
      return
    }
    const content_type = String(headers['content-type'] ?? '')
    const is_stream = /^text\/event-stream\b/i.test(content_type)
    const content_encoding = String(headers['content-encoding'] ?? '')
    const { hides_usage, checkRunning } = this.#relayed
    // Only whole events can be left out, or be followed by one of ours.
    this.#by_event = is_stream && (hides_usage || checkRunning !== null)
    this.#is_decoded = this.#by_event && content_encoding !== '' && content_encoding !== 'identity'
    this.#tap = this.#relayed.tap({
      content_type,
      content_encoding,
      ...(this.#by_event ? { onEvent: (bytes, value) => this.#addEvent(bytes, value) } : {}),
    })
    const length = Number(headers['content-length'] ?? Number.NaN)
    if (!this.#by_event && Number.isSafeInteger(length)) this.#remaining = length
    this.#writeHead(is_stream)
  }

  #writeHead(is_stream: boolean): void {
    if (this.#client_left) return
    const headers = responseHeaders(this.#headers, !this.#by_event)
    if (this.#is_decoded) delete headers['content-encoding']
    this.#outgoing.writeHead(this.#status, {
      ...headers,
      ...(is_stream ? { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' } : {}),
      ...this.#relayed.extra_headers,
    })
    if (is_stream) this.#outlet.open()
  }

  #addEvent(bytes: Buffer, value: JsonObject | null): void {
    if (this.#relayed.hides_usage && value !== null && isUsageOnly(value)) return
    if (this.#is_decoded) this.#outlet.send(bytes)
    else this.#events.push(bytes)
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#error) {
      this.#addError(chunk)
      return
    }
    const had_ended = this.#tap?.hasEnded() ?? false
    this.#tap?.feed(chunk)
    this.#remaining -= chunk.length
    for (const bytes of this.#takeOut(chunk)) {
      const is_last = this.#remaining <= 0 || this.#tap?.hasEnded() === true
      if (this.#held) this.#held.push(bytes)
      else if (is_last) this.#held = [bytes]
      else this.#outlet.send(bytes)
    }
    if (!had_ended && this.#tap?.hasEnded()) this.#settleThenSend()
    if (this.#client_left) this.#countDrained(chunk.length)
    else this.#stopWhenOverHold()
  }

  /** The bytes to go on: the chunk as it is, or what became whole of its events. */
  #takeOut(chunk: Buffer): Buffer[] {
    if (!this.#by_event) return [chunk]
    const events = this.#events
    this.#events = []
    return events
  }

  /** Usage is known before the connection's end, for which the client need not wait. */
  #settleThenSend(): void {
    void this.#settle('complete').then(() => {
      if (!this.#is_over && !this.#client_left) this.#sendHeld()
    })
  }

  #sendHeld(): void {
    for (const bytes of this.#held ?? []) this.#outlet.send(bytes)
    this.#held = []
    this.#outlet.flush()
    // What still comes carries no usage; it need not be held.
    if (this.#tap?.hasEnded()) this.#held = null
  }

  #stopWhenOverHold(): void {
    const { checkRunning, surface, api } = this.#relayed
    if (!checkRunning || !api || !this.#by_event || !this.#tap || this.#settling) return
    const message = checkRunning(this.#tap)
    if (message === null) return
    const event = streamError(api, surface, { kind: 'budget_exceeded', message })
    this.#held = [...(this.#held ?? []), Buffer.from(event)]
    this.#controller?.abort(OVER_HOLD)
  }

  #addError(chunk: Buffer): void {
    this.#error_bytes += chunk.length
    if (this.#error_bytes <= ERROR_BYTES_MAX) this.#error?.push(chunk)
  }

  onResponseEnd(): void {
    void this.#finish().catch(() => this.#outgoing.destroy())
  }

  async #finish(): Promise<void> {
    if (this.#error) return this.#finishError(this.#error)
    const decoded = this.#tap?.end()
    if (decoded) await decoded
    for (const bytes of this.#events) this.#held = [...(this.#held ?? []), bytes]
    this.#events = []
    await this.#settle('complete')
    if (this.#is_decoded && this.#tap?.problem()) this.#outgoing.destroy()
    if (!this.#client_left) {
      for (const bytes of this.#held ?? []) this.#outlet.send(bytes)
      this.#outlet.end()
    }
    this.#over('done')
  }

  async #finishError(chunks: readonly Buffer[]): Promise<void> {
    const bytes = Buffer.concat(chunks)
    const outcome = this.#outcome('complete')
    if (await this.#relayed.retryPlain(outcome, bytes.toString())) {
      this.#over('retry')
      return
    }
    await this.#settle('complete')
    const answer = errorAnswer(this.#relayed, {
      status: this.#status,
      headers: this.#headers,
      bytes: this.#error_bytes > ERROR_BYTES_MAX ? null : bytes,
    })
    if (answer.is_key_refused) this.#relayed.logKeyRefused(this.#status)
    if (!this.#client_left) {
      this.#outgoing.writeHead(this.#status, { ...answer.headers, ...this.#relayed.extra_headers })
      this.#outgoing.end(answer.body)
    }
    this.#over('done')
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    void this.#fail(error).catch(() => this.#outgoing.destroy())
  }

  async #fail(error: Error): Promise<void> {
    this.#tap?.close()
    if (!this.#was_sent) await this.#relayed.release()
    else await this.#settle(this.#client_left ? 'client_left' : 'broken')
    if (error === OVER_HOLD && !this.#client_left) {
      this.#sendHeld()
      this.#outgoing.end()
    } else if (this.#status >= 200 && this.#outgoing.headersSent) this.#outgoing.destroy()
    else if (!this.#client_left) {
      const message = `${this.#relayed.provider_name} could not be reached, or closed the connection without an answer.`
      sendRefusal(
        this.#outgoing,
        this.#relayed.surface,
        new Refusal('upstream_unreachable', message).problem,
      )
    }
    this.#over('done')
  }

  #settle(end: Outcome['end']): Promise<void> {
    this.#settling ??= this.#relayed.settle(this.#outcome(end))
    return this.#settling
  }

  #outcome(end: Outcome['end']): Outcome {
    const id = this.#headers[this.#relayed.surface.request_id_header]
    const provider_request_id = typeof id === 'string' ? id : null
    return { status: this.#status, provider_request_id, tap: this.#tap, end }
  }

  #clientLeft(): void {
    if (this.#is_over || this.#outgoing.writableFinished) return
    this.#client_left = true
    if (this.#relayed.on_abort === 'stop') {
      this.#controller?.abort(CLIENT_LEFT)
      return
    }
    this.#controller?.resume()
    this.#drain_timer = setTimeout(() => this.#controller?.abort(CLIENT_LEFT), DRAIN_MS)
    this.#drain_timer.unref()
  }

  #countDrained(bytes: number): void {
    this.#drained_bytes += bytes
    if (this.#drained_bytes > DRAIN_BYTES_MAX) this.#controller?.abort(CLIENT_LEFT)
  }

  #over(how: 'done' | 'retry'): void {
    this.#is_over = true
    clearTimeout(this.#drain_timer)
    this.#outgoing.off('drain', this.#onDrain)
    this.#outgoing.off('close', this.#onClose)
    this.#resolve(how)
  }
}

/** The one event of a chat stream that is there only because usage was asked for. */
function isUsageOnly(value: JsonObject): boolean {
  const { choices, usage } = value
  return (
    Array.isArray(choices) && choices.length === 0 && typeof usage === 'object' && usage !== null
  )
}

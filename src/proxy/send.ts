import type { IncomingMessage, ServerResponse } from 'node:http'
import { newOrderedId } from '../ids.ts'
import type { UsageEvent } from '../ledger/event.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Secret } from '../secret.ts'
import { TOKEN_CLASSES } from '../usage.ts'
import { type Admitted, clampBytes } from './admit.ts'
import { requestHeaders } from './headers.ts'
import type { Turn } from './limiter.ts'
import { isOptionRefused } from './option.ts'
import type { Prepared } from './prepare.ts'
import { relay } from './relay.ts'
import type { ProxyState } from './route.ts'
import { runningCheck } from './running.ts'
import { type Booking, type Outcome, settle } from './settlement.ts'
import { createTap } from './tap.ts'

/** An admitted request on its way. */
export type Sending = {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly turn: Turn
  readonly admitted: Admitted
  readonly event: UsageEvent
  readonly secret: Secret
  readonly catalog: Catalog
  readonly upload: Booking['upload']
}

/** Sends it and relays its answer; resolves when its last byte is out and it is booked. */
export async function send(proxy: ProxyState, prepared: Prepared, sending: Sending): Promise<void> {
  const { admitted } = sending
  if (sending.outgoing.destroyed) {
    if (admitted.hold_id !== null) await proxy.deps.gate.release(admitted.hold_id)
    return
  }
  const first = await sendOnce(proxy, prepared, sending)
  if (first.how === 'done') return
  // The server knows no usage option: this once, and if that helps from now on, it gets none.
  const plain = { ...prepared, adds_usage: false, bytes: prepared.plain_bytes }
  const { status } = await sendOnce(proxy, plain, sending)
  if (status < 400) proxy.without_usage_option.add(prepared.target.provider)
}

async function sendOnce(
  proxy: ProxyState,
  prepared: Prepared,
  { incoming, outgoing, turn, admitted, event, secret, catalog, upload }: Sending,
): Promise<{ how: 'done' | 'retry'; status: number }> {
  const { deps } = proxy
  const bytes = clampBytes(prepared.bytes, prepared, admitted.clamped_to)
  let status = 0
  const { target, api, ask } = prepared
  const { pool, prefix } = proxy.upstreams.connect(target.wire.base_url)
  const credential = target.surface.authorize(secret.reveal(), (name) => {
    const value = incoming.headers[name]
    return typeof value === 'string' ? value : undefined
  })
  const booking: Booking = {
    event,
    hold_id: admitted.hold_id,
    api,
    rule: prepared.rule,
    ask,
    body_bytes: prepared.body.plain.length,
    job_id: prepared.job_id,
    path: prepared.path,
    upload,
  }
  const options = {
    path: prefix + prepared.path,
    method: incoming.method ?? 'GET',
    headers: requestHeaders(incoming, target.surface.account_headers, credential),
    body: bytes.length > 0 ? bytes : null,
  }
  const dispatch = (handler: Parameters<typeof pool.dispatch>[1]) =>
    void pool.dispatch(options, handler)
  const how = await relay(dispatch, outgoing, {
    provider_name: target.provider,
    surface: target.surface,
    api,
    tap: (about) => (api ? createTap(api, api.createMeter(ask), about) : null),
    secret: secret.reveal(),
    hides_usage: prepared.adds_usage,
    checkRunning: runningCheck(catalog, { event, admitted, key: prepared.key }),
    extra_headers:
      admitted.clamped_to === null
        ? {}
        : { 'x-outlay-clamped': `output_tokens=${admitted.clamped_to}` },
    on_abort: prepared.key.on_abort,
    settle: (outcome) => {
      status = outcome.status
      turn.count(tokensOf(outcome), deps.clock.now())
      return settle(deps, booking, outcome)
    },
    release: async () => {
      if (admitted.hold_id !== null) await deps.gate.release(admitted.hold_id)
    },
    retryPlain: async (outcome, text) => {
      if (!isOptionRefused(deps, prepared, { status: outcome.status, text })) return false
      await settle(
        deps,
        {
          ...booking,
          event: { ...event, id: newOrderedId('req', event.occurred_at) },
          hold_id: null,
        },
        outcome,
      )
      return true
    },
    logKeyRefused: (status) =>
      deps.log.warn('a provider refused the key that is stored for it', {
        provider: target.provider,
        status,
      }),
  })
  return { how, status }
}

/** What the answer says that it used; null where it may have used any. */
function tokensOf({ status, tap }: Outcome): number | null {
  const usage = tap?.meter.reading()?.usage
  if (usage) return TOKEN_CLASSES.reduce((sum, name) => sum + usage[name], 0)
  return status >= 400 ? 0 : null
}

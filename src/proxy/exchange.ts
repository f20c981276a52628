import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Pool } from 'undici'
import type { Subject } from '../budgets/admission.ts'
import { MINUTE_MS } from '../clock.ts'
import { newOrderedId } from '../ids.ts'
import { isKeyProblem, type ProxyKey } from '../keys/proxy-key.ts'
import { findBatchFile } from '../ledger/batch-file.ts'
import type { UsageEvent } from '../ledger/event.ts'
import type { Catalog } from '../pricing/catalog.ts'
import type { Secret } from '../secret.ts'
import { NO_USAGE } from '../usage.ts'
import { type Admitted, admitRequest, clampBytes } from './admit.ts'
import { type Attribution, attribute } from './attribution.ts'
import { boundBatch, boundOfFile, readBatchFile } from './batch.ts'
import { type Bound, boundRequest } from './bound.ts'
import { findCredential } from './credential.ts'
import { requestHeaders } from './headers.ts'
import { isOptionRefused } from './option.ts'
import { modelsOf, type Prepared, prepareRequest } from './prepare.ts'
import { Refusal } from './refusal.ts'
import { relay } from './relay.ts'
import type { ProxyState } from './route.ts'
import { runningCheck } from './running.ts'
import { type Booking, settle } from './settlement.ts'
import { createTap } from './tap.ts'
import type { Target } from './target.ts'

/** A plain answer is over by then; a job that goes on is known by its id. */
const DEADLINE_MS = 65 * MINUTE_MS
const JOB_DEADLINE_MS = 31 * 60 * MINUTE_MS

/**
 * One request from its key to its last byte. Resolves when it is over.
 * @throws Refusal where the proxy answers itself.
 */
export async function exchange(
  proxy: ProxyState,
  target: Target,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const now = proxy.deps.clock.now()
  const key = authenticate(proxy, target, incoming, now)
  proxy.limiter.admit(key, now)
  try {
    const knows_usage = !proxy.without_usage_option.has(target.provider)
    const prepared = await prepareRequest(incoming, target, key, {
      knows_usage_option: knows_usage,
      findFile: (file_id) => findBatchFile(proxy.deps.db, target.provider, file_id),
    })
    await forward(proxy, prepared, { incoming, outgoing, now })
  } finally {
    proxy.limiter.finish(key)
  }
}

function authenticate(
  { deps }: ProxyState,
  target: Target,
  incoming: IncomingMessage,
  now: number,
): ProxyKey {
  const credential = findCredential(incoming, target.query)
  if (credential.kind !== 'one')
    throw new Refusal(
      'key_unknown',
      credential.kind === 'none'
        ? 'No key was sent. Outlay wants a wrapped key: olk_….'
        : 'Several different keys were sent. Send one wrapped key.',
    )
  const key = deps.resolveKey(credential.text, now)
  if (isKeyProblem(key))
    throw new Refusal(key.problem === 'unknown' ? 'key_unknown' : 'key_revoked', key.message)
  if (!key.providers.includes(target.provider))
    throw new Refusal('not_allowed', `The key "${key.name}" is not open for ${target.provider}.`)
  const address = (incoming.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  if (!key.allowsAddress(address))
    throw new Refusal('not_allowed', `The key "${key.name}" may not be used from this address.`)
  return key
}

type Sockets = { incoming: IncomingMessage; outgoing: ServerResponse; now: number }

async function forward(proxy: ProxyState, prepared: Prepared, sockets: Sockets): Promise<void> {
  const { deps } = proxy
  const { target, key } = prepared
  const secret = deps.upstreamKey(target.provider, key)
  if (!secret)
    throw new Refusal(
      'upstream_key_refused',
      `Outlay holds no key for ${target.provider}. Connect one: outlay connect ${target.provider} --kind inference.`,
    )
  const catalog = deps.catalog()
  const about = attribute(sockets.incoming.headers, prepared.ask, key)
  const id = newOrderedId('req', sockets.now)
  const bound = prepared.ask.batch
    ? await boundOfBatch(prepared, catalog, sockets.now)
    : boundOf(prepared, catalog, sockets.now)
  if (bound) proxy.limiter.addTokens(key, bound.input_tokens + bound.output_tokens, sockets.now)
  const admitted = await admit(proxy, prepared, { id, about, bound, now: sockets.now })
  const event = eventOf(prepared, { id, about, now: sockets.now })
  const lines = prepared.api?.readUpload?.(prepared.body.value)
  const upload = lines ? await readBatchFile(catalog, lines, placeOf(prepared, sockets.now)) : null
  await send(proxy, prepared, { admitted, event, secret, catalog, upload, ...sockets })
}

function boundOf({ target, rule, ask, body }: Prepared, catalog: Catalog, at: number) {
  if (rule !== 'metered' || ask.model === null) return null
  return boundRequest(catalog, {
    provider: target.provider,
    model: ask.model,
    at,
    ask,
    body: body.value,
    body_bytes: Math.max(body.bytes.length, body.text.length),
    limits: target.surface.limitsOf(ask.model),
  })
}

async function boundOfBatch(
  prepared: Prepared,
  catalog: Catalog,
  at: number,
): Promise<Bound | null> {
  const { rule, ask, file } = prepared
  if (rule !== 'metered' || ask.model === null || !ask.batch) return null
  if (!('requests' in ask.batch)) return file && boundOfFile(catalog, file, at)
  const place = placeOf(prepared, at)
  return (await boundBatch(catalog, ask.batch.requests, place))?.bound ?? null
}

function placeOf({ target }: Prepared, at: number) {
  return { provider: target.provider, at, limitsOf: target.surface.limitsOf }
}

type Charged = { id: string; about: Attribution; now: number }

async function admit(
  { deps }: ProxyState,
  prepared: Prepared,
  { id, about, bound, now }: Charged & { bound: Bound | null },
): Promise<Admitted> {
  if (prepared.rule !== 'metered') return { hold_id: null, bound: null, clamped_to: null }
  const { key, target, ask } = prepared
  const subject: Subject = {
    provider: target.provider,
    model: ask.model ?? '',
    wrapped_key: key.id,
    workspace: key.workspace,
    user: about.user,
    session: about.session,
    tags: about.tags,
  }
  const deadline_at = now + (ask.is_background ? JOB_DEADLINE_MS : DEADLINE_MS)
  // No one hold can be in the budgets of several models: where one of them binds, it refuses.
  const models = modelsOf(ask)
  if (models.length > 1)
    for (const [i, model] of models.entries())
      await admitRequest(
        deps.gate,
        prepared,
        { request_id: `${id}.${i}`, subject: { ...subject, model: model ?? '' }, deadline_at },
        null,
      )
  return admitRequest(deps.gate, prepared, { request_id: id, subject, deadline_at }, bound)
}

function eventOf({ target, ask, key }: Prepared, { id, about, now }: Charged): UsageEvent {
  return {
    id,
    source: 'proxy',
    signal: null,
    client: about.client,
    provider: target.provider,
    model: ask.model ?? '',
    occurred_at: now,
    session_id: about.session,
    request_id: null,
    user: about.user,
    project: null,
    billing_mode: 'api',
    service_tier: ask.service_tier,
    speed: ask.speed,
    usage: { ...NO_USAGE, requests: 1 },
    reported_cost_nanos: null,
    tags: about.tags,
    wrapped_key: key.id,
    workspace: key.workspace,
  }
}

type Sending = Sockets & {
  admitted: Admitted
  event: UsageEvent
  secret: Secret
  catalog: Catalog
  upload: Booking['upload']
}

async function send(proxy: ProxyState, prepared: Prepared, sending: Sending): Promise<void> {
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
  { incoming, outgoing, admitted, event, secret, catalog, upload }: Sending,
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
    body_bytes: bytes.length,
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
  const how = await relay((handler) => dispatch(pool, options, handler), outgoing, {
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

function dispatch(
  pool: Pool,
  options: Parameters<Pool['dispatch']>[0],
  handler: Parameters<Pool['dispatch']>[1],
): void {
  pool.dispatch(options, handler)
}

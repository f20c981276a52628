import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Subject } from '../budgets/admission.ts'
import { MINUTE_MS } from '../clock.ts'
import { newOrderedId } from '../ids.ts'
import { isKeyProblem, type ProxyKey } from '../keys/proxy-key.ts'
import { findBatchFile } from '../ledger/batch-file.ts'
import type { UsageEvent } from '../ledger/event.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { NO_USAGE } from '../usage.ts'
import { type Admitted, admitRequest } from './admit.ts'
import { type Attribution, attribute } from './attribution.ts'
import { boundBatch, boundOfFile, readBatchFile } from './batch.ts'
import { type Bound, boundRequest } from './bound.ts'
import { findCredential } from './credential.ts'
import type { Turn } from './limiter.ts'
import { modelsOf, type Prepared, prepareRequest } from './prepare.ts'
import { Refusal } from './refusal.ts'
import type { ProxyState } from './route.ts'
import { send } from './send.ts'
import type { Target } from './target.ts'

/** A plain answer is over by then; a job that goes on is known by its id. */
const DEADLINE_MS = 65 * MINUTE_MS
const JOB_DEADLINE_MS = 31 * 60 * MINUTE_MS
const BYTES_PER_TOKEN = 4
/** Of an answer without a limit. */
const USUAL_OUTPUT_TOKENS = 1_024

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
  const turn = proxy.limiter.admit(key, now)
  try {
    const knows_usage = !proxy.without_usage_option.has(target.provider)
    const prepared = await prepareRequest(incoming, target, key, {
      knows_usage_option: knows_usage,
      findFile: (file_id) => findBatchFile(proxy.deps.db, target.provider, file_id),
    })
    await forward(proxy, prepared, { incoming, outgoing, turn, now })
  } finally {
    turn.finish()
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

type Sockets = { incoming: IncomingMessage; outgoing: ServerResponse; turn: Turn; now: number }

async function forward(proxy: ProxyState, prepared: Prepared, sockets: Sockets): Promise<void> {
  const { deps } = proxy
  const { target, key } = prepared
  const secret = deps.upstreamKey(target.provider, key)
  if (!secret)
    throw new Refusal(
      'upstream_key_refused',
      `Outlay holds no key for ${target.provider}. Connect one: outlay connect ${target.provider} --kind inference.`,
    )
  const catalog = deps.catalog
  const about = attribute(sockets.incoming.headers, prepared.ask, key)
  const id = newOrderedId('req', sockets.now)
  const bound = prepared.ask.batch
    ? await boundOfBatch(prepared, catalog, sockets.now)
    : boundOf(prepared, catalog, sockets.now)
  if (prepared.rule === 'metered') sockets.turn.reserve(expectTokens(prepared, bound), sockets.now)
  const admitted = await admit(proxy, prepared, { id, about, bound, now: sockets.now })
  const event = eventOf(prepared, { id, about, now: sockets.now })
  const lines = prepared.api?.readUpload?.(prepared.body.value)
  const upload = lines ? await readBatchFile(catalog, lines, placeOf(prepared, sockets.now)) : null
  await send(proxy, prepared, { admitted, event, secret, catalog, upload, ...sockets })
}

/** As providers count a request before its answer: the prompt and the limit of its output. */
function expectTokens({ ask, body }: Prepared, bound: Bound | null): number {
  const most = bound ? bound.input_tokens + bound.output_tokens : Number.POSITIVE_INFINITY
  const { output_tokens_max } = ask
  const input = Math.ceil(body.plain.length / BYTES_PER_TOKEN)
  const output = (output_tokens_max ?? USUAL_OUTPUT_TOKENS) * ask.choices
  return ask.batch && bound ? most : Math.min(most, input + output)
}

function boundOf({ target, rule, ask, body }: Prepared, catalog: Catalog, at: number) {
  if (rule !== 'metered' || ask.model === null) return null
  return boundRequest(catalog, {
    provider: target.provider,
    model: ask.model,
    at,
    ask,
    body: body.value,
    body_bytes: body.plain.length,
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

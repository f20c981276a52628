import type { IncomingMessage } from 'node:http'
import type { ProxyKey } from '../keys/proxy-key.ts'
import type { BatchFile } from '../ledger/batch-file.ts'
import { type Api, type Ask, NO_ASK, textAt } from '../providers/wire.ts'
import { type Body, readBody } from './body.ts'
import { withoutCredentials } from './credential.ts'
import { findDuplicateAnywhere, removeMember, setMember } from './json-bytes.ts'
import { Refusal } from './refusal.ts'
import { findRoute, type RouteMatch, type Target } from './target.ts'

/** A request that the key may make, with everything read of it that the proxy goes by. */
export type Prepared = {
  readonly target: Target
  readonly key: ProxyKey
  readonly rule: 'metered' | 'told_later' | 'free'
  /** Null: nothing of it is billed. */
  readonly api: Api | null
  readonly ask: Ask
  readonly body: Body
  /** What goes to the provider: the client's own bytes, or those with one member set. */
  readonly bytes: Buffer
  /** The same without the one member that not every server knows. */
  readonly plain_bytes: Buffer
  /** Below the base URL, with the query. */
  readonly path: string
  readonly job_id: string | null
  /** What is known of the file that a batch is made of. */
  readonly file: BatchFile | null
  /** The bytes ask for usage that the client did not ask for. */
  readonly adds_usage: boolean
}

export type PrepareParts = {
  readonly knows_usage_option: boolean
  findFile(file_id: string): Promise<BatchFile | undefined>
}

/** @throws Refusal for a route, a model or a body that cannot be let through. */
export async function prepareRequest(
  incoming: IncomingMessage,
  target: Target,
  key: ProxyKey,
  { knows_usage_option, findFile }: PrepareParts,
): Promise<Prepared> {
  const match = matchRoute(target, incoming.method ?? 'GET')
  const body = await readBody(incoming)
  const { route, params } = match
  const api = 'api' in route ? route.api : null
  const asked =
    api && route.rule === 'metered' ? api.readRequest(body.value, body.text, params) : freeAsk(body)
  const file =
    asked.batch && 'file_id' in asked.batch ? await findFile(asked.batch.file_id) : undefined
  const ask = file ? { ...asked, model: file.model } : asked
  if (ask.passes !== 1) refuseHidden(body.plain)
  for (const model of modelsOf(ask))
    refuseModel(key, target.provider, model ?? params['model'] ?? null, route.rule)
  const located = target.is_root ? locateRoot(target, ask) : { ...target, drop: [] }
  const kept = located.drop.reduce(removeMember, body.bytes)
  const adds_usage =
    knows_usage_option &&
    api?.asks_for_usage === true &&
    ask.is_stream &&
    !ask.has_usage_option &&
    body.is_editable
  return {
    target,
    key,
    rule: route.rule === 'refused' ? 'free' : route.rule,
    api,
    ask,
    body,
    bytes: adds_usage ? setMember(kept, USAGE_OPTION, 'true') : kept,
    plain_bytes: kept,
    path: located.path + withoutCredentials(located.query),
    job_id: params['id'] ?? null,
    file: file ?? null,
    adds_usage,
  }
}

/** https://developers.openai.com/api/reference/resources/chat: usage comes in a stream only when asked for. */
const USAGE_OPTION = ['stream_options', 'include_usage']

function matchRoute(target: Target, method: string): RouteMatch {
  const { root } = target.surface
  if (target.is_root && root && method === 'POST')
    return { route: { method, path: /^/, rule: 'metered', api: root.api }, params: {} }
  const match = findRoute(target, method)
  if (!match)
    throw new Refusal(
      'not_found',
      `Outlay does not forward ${method} to this path: no rule says what it costs.`,
    )
  if (match.route.rule === 'refused')
    throw new Refusal('not_allowed', `Outlay does not forward this: ${match.route.reason}.`)
  return match
}

/** How often a tool may run, and what a batch asks for, stands deep in the body. */
function refuseHidden(bytes: Buffer): void {
  const name = findDuplicateAnywhere(bytes)
  if (name !== undefined)
    throw new Refusal('bad_request', `The body has the member "${name.slice(0, 40)}" twice.`)
}

/** Every model that a request names: several where it is a batch, or another may answer. */
export function modelsOf({ model, batch, other_models }: Ask): readonly (string | null)[] {
  if (!batch || 'file_id' in batch || batch.requests.length === 0)
    return other_models.length === 0 ? [model] : [model, ...other_models]
  return [...new Set(batch.requests.flatMap(({ ask }) => modelsOf(ask)))]
}

function freeAsk(body: Body): Ask {
  return { ...NO_ASK, model: textAt(body.value, 'model') }
}

function refuseModel(
  key: ProxyKey,
  provider: string,
  model: string | null,
  rule: RouteMatch['route']['rule'],
): void {
  if (model === null && rule !== 'metered') return
  const name = model?.replace(/^models\//, '') ?? ''
  if (key.allowsModel(provider, name)) return
  const what = name === '' ? 'requests that name no model' : `the model "${name.slice(0, 100)}"`
  throw new Refusal('not_allowed', `The key "${key.name}" is not open for ${what}.`)
}

function locateRoot({ surface }: Target, ask: Ask) {
  if (!surface.root || ask.model === null || !/^[\w@][\w.@-]*$/.test(ask.model))
    throw new Refusal('bad_request', 'The body must name the model, as "model".')
  return surface.root.locate(ask)
}

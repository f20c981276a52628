import { findValue, type Item } from '../attributes.ts'
import type { Attributes, Scope } from '../signal.ts'
import { claudeCode } from './claude-code.ts'
import type { Client, RequestMap } from './client.ts'
import { codex } from './codex.ts'
import { copilot } from './copilot.ts'
import { geminiCli } from './gemini-cli.ts'
import { genai } from './genai.ts'
import { opencode } from './opencode.ts'
import { openinference } from './openinference.ts'
import { qwenCode } from './qwen-code.ts'
import { vercelAi } from './vercel-ai.ts'

/** The specific before the generic: the first that recognises an item is the only one that reads it. */
export const clients: readonly Client[] = [
  claudeCode,
  codex,
  geminiCli,
  qwenCode,
  copilot,
  opencode,
  vercelAi,
  openinference,
  genai,
]

/** What a client's telemetry is counted under; `''` is none that we know. */
export function nameOf(client: Client | undefined): string {
  return client ? (client.id ?? 'other') : ''
}

type Origin = {
  readonly resource: Attributes
  readonly scope: Scope
  readonly attributes: Attributes
}

/** By what sent it, else by what it is: `name` is that of the event, span or metric. */
export function findClient(origin: Origin, name: string): Client | undefined {
  return (
    findSender(origin) ??
    clients.find(
      (client) =>
        client.event?.test(name) ||
        client.attributes?.some((attribute) => origin.attributes[attribute] !== undefined),
    )
  )
}

/** All items of a resource and scope share them, so that each pair is looked at once. */
function findSender({ resource, scope }: Origin): Client | undefined {
  let scopes = senders.get(resource)
  if (!scopes) {
    scopes = new Map()
    senders.set(resource, scopes)
  }
  const known = scopes.get(scope.name)
  if (known !== undefined || scopes.has(scope.name)) return known
  const service = String(resource['service.name'] ?? '')
  const client = clients.find((one) => one.service?.test(service) || one.scope?.test(scope.name))
  scopes.set(scope.name, client)
  return client
}

const senders = new WeakMap<Attributes, Map<string, Client | undefined>>()

/** What of a client's an item of this name is read by; undefined: it tells of no request. */
export function findMap(
  client: Client | undefined,
  kind: 'logs' | 'spans',
  item: Item,
  name: string,
): RequestMap | undefined {
  return client?.[kind].find((map) => isOf(item, name, map))
}

/** Whether an item of this name is what the map reads. */
function isOf(item: Item, name: string, { names, where, needs }: RequestMap): boolean {
  if (names && !names.includes(name)) return false
  for (const key in where)
    if (!where[key]?.includes(String(item.attributes[key] ?? ''))) return false
  return needs === undefined || findValue(item, needs) !== undefined
}

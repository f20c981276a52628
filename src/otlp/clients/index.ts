import type { Attributes, Scope } from '../signal.ts'
import { claudeCode } from './claude-code.ts'
import type { Client } from './client.ts'
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
  const scopes = senders.get(resource) ?? new Map<string, Client | undefined>()
  senders.set(resource, scopes)
  if (!scopes.has(scope.name)) {
    const service = String(resource['service.name'] ?? '')
    const client = clients.find((one) => one.service?.test(service) || one.scope?.test(scope.name))
    scopes.set(scope.name, client)
  }
  return scopes.get(scope.name)
}

const senders = new WeakMap<Attributes, Map<string, Client | undefined>>()

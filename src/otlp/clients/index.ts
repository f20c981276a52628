import type { Attributes, Scope } from '../signal.ts'
import { claudeCode } from './claude-code.ts'
import type { Client } from './client.ts'
import { codex } from './codex.ts'
import { geminiCli } from './gemini-cli.ts'

/** The specific before the generic: the first that recognises an item is the only one that reads it. */
export const clients: readonly Client[] = [claudeCode, codex, geminiCli]

export function findClient(resource: Attributes, scope: Scope, event: string): Client | undefined {
  const service = String(resource['service.name'] ?? '')
  return clients.find(
    (client) =>
      client.service?.test(service) || client.scope?.test(scope.name) || client.event?.test(event),
  )
}

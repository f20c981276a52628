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

/** `name` is that of the event, span or metric. */
export function findClient({ resource, scope, attributes }: Origin, name: string) {
  const service = String(resource['service.name'] ?? '')
  return clients.find(
    (client) =>
      client.service?.test(service) ||
      client.scope?.test(scope.name) ||
      client.event?.test(name) ||
      client.attributes?.some((attribute) => attributes[attribute] !== undefined),
  )
}

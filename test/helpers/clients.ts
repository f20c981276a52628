import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as OlderStdio } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport as OlderHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { COMMAND, type Env } from './program.ts'

/** What the tests ask of a client; the three real ones answer alike. */
export type McpClient = Pick<
  Client,
  | 'listTools'
  | 'listResources'
  | 'listResourceTemplates'
  | 'listPrompts'
  | 'callTool'
  | 'readResource'
  | 'getPrompt'
  | 'complete'
  | 'getInstructions'
  | 'close'
>

export type Place = { readonly env: Env } | { readonly url: string; readonly token: string }

/** The clients that people have: SDK 1.x, and SDK 2.x in the older and the current protocol. */
export const CLIENTS = {
  'SDK 1, protocol 2025-11-25': connectOlder,
  'SDK 2, protocol 2025-11-25': (place: Place) => connect(place, { mode: 'legacy' }),
  'SDK 2, protocol 2026-07-28': (place: Place) => connect(place, { pin: '2026-07-28' }),
} as const

const NAME = { name: 'outlay-test', version: '1.0.0' }

async function connectOlder(place: Place): Promise<McpClient> {
  const client = new OlderClient(NAME)
  const transport =
    'env' in place
      ? new OlderStdio({ ...COMMAND, env: place.env, stderr: 'ignore' })
      : new OlderHttp(mcpUrl(place.url), { requestInit: { headers: bearer(place.token) } })
  await client.connect(transport as Parameters<typeof client.connect>[0])
  return client as unknown as McpClient
}

async function connect(
  place: Place,
  negotiation: { mode: 'legacy' } | { pin: string },
): Promise<McpClient> {
  const mode = 'pin' in negotiation ? negotiation : negotiation.mode
  const client = new Client(NAME, { versionNegotiation: { mode } })
  await client.connect(
    'env' in place
      ? new StdioClientTransport({ ...COMMAND, env: { ...place.env }, stderr: 'ignore' })
      : new StreamableHTTPClientTransport(mcpUrl(place.url), {
          requestInit: { headers: bearer(place.token) },
        }),
  )
  return client
}

function mcpUrl(url: string): URL {
  return new URL('/mcp', url)
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}

/** The text of a tool's answer. */
export function textOf(result: { content?: unknown }): string {
  const blocks = (result.content ?? []) as { type: string; text?: string }[]
  return blocks.map(({ text }) => text ?? '').join('\n')
}

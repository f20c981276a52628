import {
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  completable,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
  McpServer,
  ResourceTemplate,
  type ServerContext,
} from '@modelcontextprotocol/server'
import * as z from 'zod'
import { resources } from '../resources/index.ts'
import { tools } from '../tools/index.ts'
import type { App } from './app.ts'
import { closest } from './closest.ts'
import { UserError } from './errors.ts'
import { newId } from './ids.ts'
import type { Log } from './log.ts'
import { prompts } from './prompts.ts'
import type { Resource } from './resource.ts'
import { serveSubscriptions } from './subscriptions.ts'
import type { Call, OpenUrl, Tool } from './tool.ts'
import { VERSION } from './version.ts'

export type ServerOptions = {
  /** Called at the first request that needs the store: listing needs nothing. */
  open(): Promise<App>
  readonly log: Log
  /** False: tools that write are not listed. */
  readonly can_write: boolean
  /** Who calls, for the audit. */
  readonly actor: string
  /** Absent: changes cannot be announced to this client. */
  readonly announces?: {
    readonly era: 'legacy' | 'modern'
    /** Whether the server lives as long as its client; else the transport announces. */
    readonly is_lasting: boolean
  }
}

const INSTRUCTIONS = `Outlay knows what this person's or organisation's LLMs cost.
get_spend answers "what did we spend, on what, compared with when"; its filter and group_by narrow down to providers, models, keys, workspaces, users, sessions.
get_price tells what a model costs. get_status tells what is connected, how fresh it is and what to fix: ask it when an answer is empty or old.
connect_provider adds a provider's admin key on a page of its own: never ask for a key in the conversation.
Money is in USD, exact; "billed" is what the provider reported, "metered" is usage at list price. Say which one a figure is, and what its notes leave out.`

/** One server for one connection or request; the same for both protocol eras and both transports. */
export function createMcpServer(given: ServerOptions): McpServer {
  const { announces } = given
  const server = new McpServer(
    { name: 'outlay', title: 'Outlay', version: VERSION },
    {
      instructions: INSTRUCTIONS,
      ...(announces ? { capabilities: { resources: { subscribe: true } } } : {}),
    },
  )
  const options = announces?.is_lasting
    ? { ...given, open: serveSubscriptions(server, { open: given.open, era: announces.era }) }
    : given
  for (const tool of tools)
    if (options.can_write || tool.effect === 'read') registerTool(server, tool, options)
  for (const resource of resources) registerResource(server, resource, options)
  for (const prompt of prompts)
    server.registerPrompt(
      prompt.name,
      {
        title: prompt.title,
        description: prompt.description,
        argsSchema: z.object(
          Object.fromEntries(
            prompt.args.map(({ name, description, values }) => [
              name,
              completable(z.string().describe(description), (given) =>
                values.filter((value) => value.startsWith(given)),
              ).optional(),
            ]),
          ),
        ),
      },
      (args) => ({
        messages: [{ role: 'user', content: { type: 'text', text: prompt.text(args) } }],
      }),
    )
  return server
}

function registerTool(server: McpServer, tool: Tool, options: ServerOptions): void {
  server.registerTool(
    tool.name,
    {
      title: tool.title,
      description: tool.description,
      inputSchema: strictInput(tool),
      outputSchema: z.object(tool.output),
      annotations: {
        readOnlyHint: tool.effect === 'read',
        destructiveHint: tool.effect === 'delete',
        idempotentHint: tool.effect !== 'write',
        openWorldHint: tool.open_world ?? false,
      },
    },
    (args, context) => callTool(server, tool, args, context, options),
  )
}

/** An unknown argument is an error that says which there are: a silently dropped filter gives a wrong figure. */
function strictInput({ input }: Tool) {
  const names = Object.keys(input)
  return z.strictObject(input, {
    error(issue) {
      if (issue.code !== 'unrecognized_keys') return undefined
      const [unknown = ''] = issue.keys
      const near = closest(unknown, names)
      return `there is no argument "${unknown}"${near ? ` (closest: ${near})` : ''}; ${names.length > 0 ? `known: ${names.join(', ')}` : 'it takes none'}`
    },
  })
}

async function callTool(
  server: McpServer,
  tool: Tool,
  args: Record<string, unknown>,
  context: ServerContext,
  { open, log, actor }: ServerOptions,
): Promise<CallToolResult | InputRequiredResult> {
  try {
    const call = openCall(server, await open(), actor, context)
    const data = await tool.handle(args, call)
    if (isOpenUrl(data))
      return inputRequired({ inputRequests: { page: inputRequired.elicitUrl(data.open_url) } })
    return {
      content: [{ type: 'text', text: tool.text(data) }],
      structuredContent: data,
    }
  } catch (error) {
    if (error instanceof UserError) return failure(error.message)
    return failure(writeDefect(log, tool.name, error))
  }
}

function openCall(server: McpServer, app: App, actor: string, { mcpReq }: ServerContext): Call {
  const token = mcpReq._meta?.progressToken
  const envelope: Readonly<Record<string, unknown>> = mcpReq.envelope ?? {}
  const capabilities =
    envelope[CLIENT_CAPABILITIES_META_KEY] ?? server.server.getClientCapabilities()
  const page = inputResponse(mcpReq.inputResponses, 'page')
  return {
    app,
    actor,
    signal: mcpReq.signal,
    can_open_url: Boolean((capabilities as { elicitation?: { url?: unknown } })?.elicitation?.url),
    url_answer: page.kind === 'elicit' ? page.action : undefined,
    ...(token === undefined
      ? {}
      : {
          progress: async (progress, total, message) => {
            const params = { progressToken: token, progress, message }
            await mcpReq.notify({
              method: 'notifications/progress',
              params: total === undefined ? params : { ...params, total },
            })
          },
        }),
  }
}

function isOpenUrl(data: object): data is OpenUrl {
  return 'open_url' in data
}

function failure(text: string): CallToolResult {
  return { content: [{ type: 'text', text }], isError: true }
}

/** A defect is ours: its place goes to the log under an id, the caller learns the id. */
function writeDefect(log: Log, place: string, error: unknown): string {
  const id = newId('err')
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  log.warn(`defect ${id} in ${place}: ${stack}`)
  return `Internal error ${id}. The log of Outlay (stderr) has the details.`
}

function registerResource(server: McpServer, resource: Resource, options: ServerOptions): void {
  const { name, title, description, mime_type: mimeType, uri, values } = resource
  const read = async (href: string, value: string) => {
    const text = await resource.read(value, await options.open())
    return { contents: [{ uri: href, mimeType, text }] }
  }
  if (!values) {
    server.registerResource(name, uri, { title, description, mimeType }, (url) =>
      read(url.href, ''),
    )
    return
  }
  const variable = /\{(\w+)\}/.exec(uri)?.[1] ?? ''
  const fill = (value: string) => uri.replace(`{${variable}}`, value)
  const template = new ResourceTemplate(uri, {
    list: () => ({
      resources: values.map((value) => ({
        uri: fill(value),
        name: `${name}-${value}`,
        title: `${title}: ${value}`,
        mimeType,
      })),
    }),
    complete: { [variable]: (given) => values.filter((value) => value.startsWith(given)) },
  })
  server.registerResource(name, template, { title, description, mimeType }, (url, variables) =>
    read(url.href, decodeURIComponent(String(variables[variable] ?? ''))),
  )
}

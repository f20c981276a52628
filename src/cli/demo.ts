import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import type { Client } from '@modelcontextprotocol/client'
import { isoTime } from '../clock.ts'
import { startDemoProvider } from '../demo/provider.ts'
import { listTelemetry } from '../demo/telemetry.ts'
import { UserError } from '../errors.ts'
import type { Command, Process } from './command.ts'

/** The program itself, from sources or as built. */
const MAIN = join(import.meta.dirname, `../main${extname(import.meta.filename)}`)

const INTRO = `Outlay demo. Everything you see is simulated: two made-up provider accounts and three made-up
coding assistants, on this machine, in a temporary folder that is removed at the end.
The program is the real one, asked by a real MCP client over stdio, as Claude Desktop would.`

const OUTRO = `That was the demo. For your own numbers:

  1. outlay connect anthropic      (or openai, openrouter): asks for an admin key, stores it encrypted
     outlay sync                   reads the last 90 days
  2. outlay env claude-code        (or codex, gemini-cli): the lines that send an assistant's usage here
  3. Let your assistant ask. Claude Code:  claude mcp add outlay -- outlay
     Codex:  codex mcp add outlay -- outlay       Others: "command": "outlay" in their MCP settings

From a checkout write "npm run --silent outlay --" in place of "outlay".`

type Question = {
  readonly ask: string
  readonly tool: string
  readonly args: Readonly<Record<string, unknown>>
}

const QUESTIONS: readonly Question[] = [
  {
    ask: 'What did we spend in the last seven days, on what, and is it more than before?',
    tool: 'get_spend',
    args: { period: 'last_7d', group_by: ['provider', 'model'], compare: true },
  },
  {
    ask: 'Which keys cost most this month so far and last month together?',
    tool: 'get_spend',
    args: { period: 'last_30d', group_by: ['provider_key'], limit: 5 },
  },
  {
    ask: 'One day stands out. Which key was it?',
    tool: 'get_spend',
    args: {
      period: 'last_7d',
      group_by: ['day', 'provider_key'],
      filter: { provider: 'anthropic' },
    },
  },
  {
    ask: 'And what do our coding assistants use?',
    tool: 'get_spend',
    args: { period: 'last_7d', group_by: ['client'] },
  },
  {
    ask: 'What does claude-opus-5 cost, also in batches?',
    tool: 'get_price',
    args: { model: 'claude-opus-5', provider: 'anthropic' },
  },
  { ask: 'Can I trust these numbers?', tool: 'get_status', args: {} },
]

export const demo: Command = {
  name: 'demo',
  usage: '',
  summary: 'Show everything on simulated data, in a temporary folder',
  options: {},
  positionals_max: 0,
  async run(_, { process, host, print }) {
    print(`${INTRO}\n`)
    const home = mkdtempSync(join(tmpdir(), 'outlay-demo-'))
    const provider = await startDemoProvider(host.clock.wallNow())
    let client: Client | undefined
    try {
      client = await connectClient(process, demoEnv(process, home, provider.url))
      await fill(client, host.clock.wallNow(), print)
      for (const question of QUESTIONS) await answer(client, question, print)
    } finally {
      await client?.close()
      await provider.close()
      rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    }
    print(OUTRO)
    return 0
  },
}

/** Nothing of the user's own: no key, no store, no port that may be taken. */
function demoEnv({ env }: Process, home: string, provider_url: string): Record<string, string> {
  return {
    PATH: env['PATH'] ?? '',
    HOME: home,
    OUTLAY_HOME: home,
    OUTLAY_PORT: '0',
    ANTHROPIC_ADMIN_KEY: 'sk-ant-admin01-demo-key-of-no-account',
    OPENAI_ADMIN_KEY: 'sk-admin-demo-key-of-no-account',
    OUTLAY_ANTHROPIC_ADMIN_BASE_URL: `${provider_url}/anthropic`,
    OUTLAY_OPENAI_ADMIN_BASE_URL: `${provider_url}/openai/v1`,
  }
}

async function connectClient({ exec_path }: Process, env: Record<string, string>): Promise<Client> {
  const { Client } = await import('@modelcontextprotocol/client')
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio')
  const client = new Client(
    { name: 'outlay-demo', version: '1.0.0' },
    { versionNegotiation: { mode: 'auto' } },
  )
  const transport = new StdioClientTransport({
    command: exec_path,
    args: [MAIN],
    env,
    stderr: 'ignore',
  })
  await client.connect(transport)
  return client
}

/** Tier 1 by a sync, tier 2 by what the assistants send. */
async function fill(client: Client, now: number, print: (text: string) => void): Promise<void> {
  print(await say(client, 'sync_now', {}))
  const { structuredContent } = await client.callTool({ name: 'get_status', arguments: {} })
  const { side_port } = structuredContent as { side_port?: string | null }
  if (!side_port) throw new UserError('The demo could not open its port on this machine.')
  for (const body of listTelemetry(now)) {
    const { status } = await fetch(new URL('/v1/logs', side_port), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (status !== 200) throw new UserError(`The telemetry receiver answered ${status}.`)
  }
  print(`Claude Code, Codex and Gemini CLI sent their events to ${side_port} (${isoTime(now)}).\n`)
}

async function answer(
  client: Client,
  { ask, tool, args }: Question,
  print: (text: string) => void,
): Promise<void> {
  print(`You:     ${ask}`)
  print(`Call:    ${tool} ${JSON.stringify(args)}`)
  print(`${await say(client, tool, args)}\n`)
}

async function say(client: Client, name: string, args: Question['args']): Promise<string> {
  const { content, isError } = await client.callTool({ name, arguments: args })
  const text = content.map((block) => (block.type === 'text' ? block.text : '')).join('\n')
  if (isError) throw new UserError(`${name}: ${text}`)
  return text
}

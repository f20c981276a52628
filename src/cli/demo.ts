import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import type { Client } from '@modelcontextprotocol/client'
import { isoTime } from '../clock.ts'
import { runAgent } from '../demo/agent.ts'
import { startDemoProvider } from '../demo/provider.ts'
import { listTelemetry } from '../demo/telemetry.ts'
import { UserError } from '../errors.ts'
import type { Command, Process } from './command.ts'

/** The program itself, from sources or as built. */
const MAIN = join(import.meta.dirname, `../main${extname(import.meta.filename)}`)

const INTRO = `Outlay demo. Everything you see is simulated: two made-up provider accounts, three made-up coding
assistants and a made-up agent, on this machine, in a temporary folder that is removed at the end.
The program is the real one, asked by a real MCP client over stdio, as Claude Desktop would.`

const TIER_1 = 'Tier 1: what the providers report. An admin key is connected; nothing else changes.'
const TIER_2 = 'Tier 2: what coding assistants send, once three variables are set.'
const TIER_3 = 'Tier 3: requests through the proxy, with a key and a budget of its own.'

const OUTRO = `That was the demo. For your own numbers:

  1. outlay connect anthropic      (or openai, openrouter): asks for an admin key, stores it encrypted
     outlay sync                   reads the last 90 days
  2. outlay env claude-code        (or codex, gemini-cli): the lines that send an assistant's usage here
  3. outlay connect openai --kind inference    (or anthropic, google), then
     outlay keys create agent --budget 25      a key that stops at $25; outlay env openai: where to put it
  4. Let your assistant ask. Claude Code:  claude mcp add outlay -- outlay
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

const AGENT_MODEL = 'gpt-5.4'
const AGENT_KEY = {
  name: 'support-agent',
  providers: ['openai'],
  models: [AGENT_MODEL],
  budget_usd: '0.25',
  budget_period: 'day',
  tags: { team: 'support' },
}

const AFTERWARDS: readonly Question[] = [
  { ask: 'Why was it stopped?', tool: 'check_budget', args: { wrapped_key: AGENT_KEY.name } },
  {
    ask: 'Could it do one more, and what would be cheaper?',
    tool: 'check_budget',
    args: {
      wrapped_key: AGENT_KEY.name,
      model: `openai/${AGENT_MODEL}`,
      input_tokens: 1_850,
      output_tokens: 400,
    },
  },
  { ask: 'Which keys are there?', tool: 'list_keys', args: {} },
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
      const side_port = await fill(client, host.clock.wallNow(), print)
      for (const question of QUESTIONS) await answer(client, question, print)
      print(`${TIER_3}\n`)
      await proxy(client, side_port, print)
      for (const question of AFTERWARDS) await answer(client, question, print)
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
    OUTLAY_OPENAI_BASE_URL: `${provider_url}/openai/v1`,
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

/** Tier 1 by a sync, tier 2 by what the assistants send. Gives the address of the side port. */
async function fill(client: Client, now: number, print: (text: string) => void): Promise<string> {
  print(`${TIER_1}\n`)
  print(`${await say(client, 'sync_now', {})}\n`)
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
  print(`${TIER_2}\n`)
  print(`Claude Code, Codex and Gemini CLI sent their events to ${side_port} (${isoTime(now)}).\n`)
  return side_port
}

/** Tier 3: a person types the provider's key on its page, asks for a wrapped one, and an agent runs with it. */
async function proxy(
  client: Client,
  side_port: string,
  print: (text: string) => void,
): Promise<void> {
  const page = await client.callTool({
    name: 'connect_provider',
    arguments: { provider: 'openai', kind: 'inference' },
  })
  const { url } = page.structuredContent as { url: string }
  const key = 'sk-proj-demo-key-of-no-account-0123456789'
  const { status } = await fetch(url, { method: 'POST', body: new URLSearchParams({ key }) })
  if (status !== 200) throw new UserError(`The connect page answered ${status}.`)
  print('You typed a key of OpenAI on the page that connect_provider opened.\n')
  print('You:     Make a key for the support agent that can spend 25 cents a day, on one model.')
  print(`Call:    create_wrapped_key ${JSON.stringify(AGENT_KEY)}`)
  const made = await client.callTool({
    name: 'create_wrapped_key',
    arguments: { ...AGENT_KEY, reveal: 'inline' },
  })
  const wrapped = made.structuredContent as { id: string; key: string }
  print(`Key ${wrapped.key.slice(0, 12)}… is made; Outlay keeps only its hash.\n`)
  const { answered, refusal } = await runAgent(
    new URL('/proxy/openai/v1', side_port).href,
    wrapped.key,
    AGENT_MODEL,
  )
  print(`The agent sent requests to ${side_port}/proxy/openai/v1: ${answered} were answered,`)
  print(
    refusal
      ? `the next one was refused as OpenAI itself would: ${refusal.status} ${refusal.code}.\n"${refusal.message}"\n`
      : 'and none was refused.\n',
  )
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

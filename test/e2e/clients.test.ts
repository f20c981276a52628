import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDemoProvider } from '../../src/demo/provider.ts'
import { CLIENTS, type McpClient, type Place, textOf } from '../helpers/clients.ts'
import { makeHome, programEnv, runProgram, startServe, stopProgram } from '../helpers/program.ts'

/** One store that a `serve` process owns; stdio clients are further readers of it, as in real life. */
const { home, remove } = makeHome()
let served: Awaited<ReturnType<typeof startServe>>
let places: Record<'stdio' | 'HTTP', Place>
let provider: Awaited<ReturnType<typeof startDemoProvider>>

beforeAll(async () => {
  provider = await startDemoProvider(Date.now())
  const env = programEnv(home, {
    ANTHROPIC_ADMIN_KEY: 'sk-ant-admin01-not-a-real-key-of-anybody',
    OUTLAY_ANTHROPIC_ADMIN_BASE_URL: `${provider.url}/anthropic`,
  })
  const synced = await runProgram(['sync', 'anthropic'], env)
  expect(synced.stderr).toBe('')
  const made = await runProgram(['tokens', 'create', 'test', '--scopes', 'read,write'], env)
  served = await startServe(env)
  places = { stdio: { env }, HTTP: { url: served.url, token: made.stdout.trim() } }
}, 60_000)

afterAll(async () => {
  await stopProgram(served.child)
  await provider.close()
  remove()
})

const CALLS: readonly [tool: string, args: Record<string, unknown>, says: RegExp][] = [
  ['get_spend', { period: 'last_30d', group_by: ['provider', 'model'] }, /claude-opus-5: \$[1-9]/],
  ['get_price', { model: 'claude-opus-5' }, /input \$5/],
  ['get_status', {}, /anthropic "environment" \(Demo Foundry \(simulated\)\)/],
  ['list_sessions', { period: 'last_7d' }, /No session|session/i],
  ['sync_now', { dry_run: true }, /Would read anthropic "environment"/],
  ['connect_provider', { provider: 'openai' }, /\/connect\/[\w-]{43}/],
]

const COMBINATIONS = (['stdio', 'HTTP'] as const).flatMap((transport) =>
  Object.entries(CLIENTS).map(([client, connect]) => ({ transport, client, connect })),
)

describe.each(COMBINATIONS)('$client over $transport', ({ transport, connect }) => {
  let client: McpClient
  beforeAll(async () => {
    client = await connect(places[transport])
  })
  afterAll(() => client.close())

  test('lists and calls every tool; structured answers fit the declared schema', async () => {
    const { tools } = await client.listTools()
    expect(CALLS.map(([name]) => name)).toEqual(
      expect.arrayContaining(tools.map(({ name }) => name)),
    )
    const ajv = new Ajv2020({ strict: false })
    for (const [name, args, says] of CALLS) {
      const result = await client.callTool({ name, arguments: args })
      expect(textOf(result), name).toMatch(says)
      expect(result.isError ?? false, textOf(result)).toBe(false)
      const schema = tools.find((tool) => tool.name === name)?.outputSchema as object
      expect(ajv.validate(schema, result.structuredContent), ajv.errorsText()).toBe(true)
    }
  })

  test('reads every resource that is listed, and the templates', async () => {
    const { resources } = await client.listResources()
    const { resourceTemplates } = await client.listResourceTemplates()
    expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate).sort()).toEqual([
      'outlay://prices/{model}',
      'outlay://setup/{client}',
      'outlay://spend/{period}',
    ])
    const uris = [...resources.map(({ uri }) => uri), 'outlay://prices/gpt-5.4']
    expect(uris).toContain('outlay://status')
    for (const uri of uris) {
      const { contents } = await client.readResource({ uri })
      const [content] = contents as { text?: string; mimeType?: string }[]
      expect(content?.text?.length, uri).toBeGreaterThan(20)
      if (content?.mimeType === 'application/json') JSON.parse(content.text ?? '')
    }
  })

  test('gets every prompt and completes its arguments', async () => {
    const { prompts } = await client.listPrompts()
    expect(prompts.map(({ name }) => name)).toEqual(['monthly_review', 'set_up_tracking'])
    for (const { name } of prompts) {
      const { messages } = await client.getPrompt({ name })
      expect(messages).toHaveLength(1)
    }
    const { completion } = await client.complete({
      ref: { type: 'ref/prompt', name: 'monthly_review' },
      argument: { name: 'period', value: 'last' },
    })
    expect(completion.values).toEqual(['last_month'])
  })

  test('a bad argument is answered with the allowed values and the closest one', async () => {
    const wrong: readonly [Record<string, unknown>, RegExp][] = [
      [{ perod: 'today' }, /no argument "perod" \(closest: period\).*known: period, from/],
      [{ period: 'this_mont' }, /last_7d.*\(closest: this_month\)/],
      [{ filter: { provider: 'antropic' } }, /No provider "antropic".*Closest: anthropic/],
      [{ from: '2026-13-01' }, /"from" must be a date like/],
    ]
    for (const [args, says] of wrong) {
      const result = await client.callTool({ name: 'get_spend', arguments: args })
      expect(result.isError, JSON.stringify(args)).toBe(true)
      expect(textOf(result)).toMatch(says)
    }
  })
})

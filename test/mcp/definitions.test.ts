import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createMcpHandler } from '@modelcontextprotocol/server'
import { describe, expect, test } from 'vitest'
import { manifestText, readDocuments, readmeText } from '../../scripts/definitions.ts'
import { silentLog } from '../../src/log.ts'
import { createMcpServer } from '../../src/server.ts'
import { tools } from '../../tools/index.ts'

/** What `tools/list` says without any key, store or data, in the current protocol. */
async function listDefinitions(can_write: boolean) {
  const handler = createMcpHandler(() =>
    createMcpServer({
      open: () => Promise.reject(new Error('a list must not open the store')),
      log: silentLog,
      can_write,
      actor: 'test',
    }),
  )
  const client = new Client(
    { name: 'test', version: '1' },
    { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  )
  await client.connect(
    new StreamableHTTPClientTransport(new URL('http://outlay.test/mcp'), {
      fetch: (url, init) => handler.fetch(new Request(url, init)),
    }),
  )
  const listed = await client.listTools()
  await client.listResources()
  await client.listPrompts()
  const instructions = client.getInstructions() ?? ''
  await client.close()
  await handler.close()
  return { definitions: listed.tools, instructions }
}

const { definitions, instructions } = await listDefinitions(true)

describe.each(definitions.map((one) => [one.name, one] as const))('%s', (name, definition) => {
  test('is what its snapshot says', async () => {
    const text = `${JSON.stringify(definition, null, 2)}\n`
    await expect(text).toMatchFileSnapshot(join('..', 'toolsnaps', `${name}.json`))
  })

  test('lives in the file of its name', () => {
    const file = `${name.replaceAll('_', '-')}.ts`
    expect(readdirSync(join(import.meta.dirname, '../../tools'))).toContain(file)
  })

  test('says what it is for and declares all four hints', () => {
    expect(definition.title?.length).toBeGreaterThan(3)
    expect(definition.description?.length).toBeGreaterThan(60)
    expect(definition.description?.length).toBeLessThan(1_024)
    expect(Object.keys(definition.annotations ?? {}).sort()).toEqual([
      'destructiveHint',
      'idempotentHint',
      'openWorldHint',
      'readOnlyHint',
    ])
  })

  test('takes no unknown argument, and no secret', () => {
    expect(definition.inputSchema['additionalProperties']).toBe(false)
    const names = Object.keys(definition.inputSchema.properties ?? {})
    expect(names.filter((one) => /secret|password|api_?key$|token$/.test(one))).toEqual([])
  })

  test('answers with an object in the 2020-12 dialect', () => {
    expect(definition.outputSchema?.['type']).toBe('object')
    expect(JSON.stringify(definition)).not.toContain('draft-07')
  })
})

test('there is a snapshot for each tool and for nothing else', () => {
  const files = readdirSync(join(import.meta.dirname, '../toolsnaps')).sort()
  expect(files).toEqual(definitions.map(({ name }) => `${name}.json`).sort())
})

test('read-only mode lists exactly the tools that only look', async () => {
  const { definitions: readable } = await listDefinitions(false)
  const expected = tools.filter(({ effect }) => effect === 'read').map(({ name }) => name)
  expect(readable.map(({ name }) => name)).toEqual(expected)
})

test('the instructions fit what clients keep of them', () => {
  expect(instructions.length).toBeGreaterThan(200)
  expect(instructions.length).toBeLessThanOrEqual(2_000)
})

test('manifest.json and README.md say the same of version, tools and prompts', () => {
  const { manifest, readme } = readDocuments()
  expect(JSON.parse(manifest)).toEqual(JSON.parse(manifestText(manifest)))
  expect(readme).toBe(readmeText(readme))
})

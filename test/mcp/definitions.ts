import { Client, InMemoryTransport } from '@modelcontextprotocol/client'
import { encode } from 'gpt-tokenizer/encoding/o200k_base'
import { silentLog } from '../../src/log.ts'
import { createMcpServer } from '../../src/server.ts'

/** The tools that answer the first questions: every conversation pays for their definitions, asked or not. */
export const CORE_TOOLS = ['get_spend', 'get_price', 'get_status', 'sync_now', 'connect_provider']
export const CORE_TOKENS_MAX = 2_000
export const ALL_TOKENS_MAX = 5_000

/** Tokens (o200k_base) of a tool's definition, as a model is given it. */
export type DefinitionTokens = {
  readonly name: string
  /** Name, description and input schema: what hosts put before a model. */
  readonly shown: number
  /** The same with the output schema, which some hosts add. */
  readonly with_output: number
}

/** Asks a server for its tools as a client does; listing opens nothing. */
export async function listDefinitionTokens(): Promise<DefinitionTokens[]> {
  const server = createMcpServer({
    open: () => Promise.reject(new Error('listing opened the store')),
    log: silentLog,
    can_write: true,
    actor: 'test',
  })
  const client = new Client({ name: 'test', version: '1' })
  const [near, far] = InMemoryTransport.createLinkedPair()
  await Promise.all([server.connect(far), client.connect(near)])
  try {
    const { tools } = await client.listTools()
    return tools.map(({ name, description, inputSchema, outputSchema }) => {
      const shown = { name, description, inputSchema }
      return { name, shown: count(shown), with_output: count({ ...shown, outputSchema }) }
    })
  } finally {
    await client.close()
  }
}

function count(definition: object): number {
  return encode(JSON.stringify(definition)).length
}

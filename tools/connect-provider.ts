import * as z from 'zod'
import { oneOf } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

export default defineTool({
  name: 'connect_provider',
  title: 'Connect provider',
  effect: 'write',
  open_world: true,
  description:
    'Opens a page where the person types a provider key, outside the conversation: admin (reads costs) or inference (for the proxy).',
  input: {
    provider: z.string().describe('anthropic openai openrouter google'),
    kind: oneOf(['admin', 'inference']).optional(),
    name: z.string().max(40).optional(),
  },
  output: {
    state: z.enum(['page_ready', 'page_opened', 'declined', 'use_command']),
    url: z.string().describe('or null').nullable(),
    command: z.string(),
    key_needed: z.string(),
    key_page: z.string(),
  },
  async handle(question, { app, can_open_url, url_answer }) {
    const { openConnectPage } = await import('../src/jobs/connect.ts')
    if (url_answer !== undefined) {
      const { describeConnect } = await import('../src/jobs/connect.ts')
      const state = url_answer === 'accept' ? 'page_opened' : 'declined'
      return { state, url: null, ...describeConnect(app, question) } as const
    }
    const page = await openConnectPage(app, question)
    if (page.url !== null && can_open_url)
      return {
        open_url: {
          message: `Type the key for ${question.provider} (${page.key_needed}).`,
          url: page.url,
        },
      }
    return { state: page.url === null ? 'use_command' : 'page_ready', ...page } as const
  },
  text({ state, url, command, key_needed, key_page }) {
    const need = `Needed: ${key_needed}, made at ${key_page}.`
    if (state === 'page_opened')
      return 'The page is open. When the key is accepted there, get_status or list_keys shows it.'
    if (state === 'declined') return `Nothing was stored. ${need} In a terminal: ${command}`
    if (state === 'use_command')
      return `No page can be opened for it. In a terminal run: ${command}\n${need}`
    return `Ask the person to open ${url} within 15 minutes and type the key there. ${need} Or in a terminal: ${command}`
  },
})

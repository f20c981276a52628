import * as z from 'zod'
import { defineTool } from '../src/tool.ts'

export default defineTool({
  name: 'connect_provider',
  title: 'Connect provider',
  effect: 'write',
  open_world: true,
  description:
    'Opens a page on this machine where the person types a provider admin key; the key never passes through the conversation. Afterwards the first sync starts by itself.',
  input: {
    provider: z.string().describe('anthropic, openai or openrouter'),
    name: z.string().max(40).optional().describe('To tell organisations of one provider apart.'),
  },
  output: {
    state: z.enum(['page_ready', 'page_opened', 'declined', 'use_command']),
    url: z.string().describe('or null').nullable(),
    command: z.string(),
    key_needed: z.string(),
    key_page: z.string(),
  },
  async handle({ provider, name }, { app, can_open_url, url_answer }) {
    const { openConnectPage } = await import('../src/jobs/connect.ts')
    if (url_answer !== undefined) {
      const { describeConnect } = await import('../src/jobs/connect.ts')
      const state = url_answer === 'accept' ? 'page_opened' : 'declined'
      return { state, url: null, ...describeConnect(app, provider, name) } as const
    }
    const page = await openConnectPage(app, provider, name)
    if (page.url !== null && can_open_url)
      return {
        open_url: { message: `Type the key for ${provider} (${page.key_needed}).`, url: page.url },
      }
    return { state: page.url === null ? 'use_command' : 'page_ready', ...page } as const
  },
  text({ state, url, command, key_needed, key_page }) {
    const need = `Needed: ${key_needed}, made at ${key_page}.`
    if (state === 'page_opened')
      return 'The page is open. When the key is accepted there, the first sync starts; get_status shows it.'
    if (state === 'declined') return `Nothing was stored. ${need} In a terminal: ${command}`
    if (state === 'use_command')
      return `No page can be opened because the side port is off. In a terminal run: ${command}\n${need}`
    return `Ask the person to open ${url} within 15 minutes and type the key there. ${need} Or in a terminal: ${command}`
  },
})

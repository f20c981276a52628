import * as z from 'zod'
import { Counts, oneOf, Texts } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

export default defineTool({
  name: 'create_wrapped_key',
  title: 'Create wrapped key',
  effect: 'write',
  description:
    'Makes a key for a person or program that opens the connected providers through the proxy, with its own limits and budget. The person sees it once, on a page of their own.',
  input: {
    name: z.string(),
    providers: z.array(z.string()).optional().describe('Default all connected.'),
    models: z.array(z.string()).optional().describe('Patterns, e.g. claude-haiku-*'),
    budget_usd: z.coerce.string().optional().describe('Blocks beyond it.'),
    budget_period: z.string().optional().describe('day week month lifetime rolling_<n>h'),
    tags: Texts.optional(),
    user: z.string().optional(),
    workspace: z.string().optional(),
    expires: z.string().optional().describe('Date or 30d.'),
    limits: Counts.optional().describe('requests_per_minute tokens_per_minute concurrent_requests'),
    addresses: z.array(z.string()).optional().describe('IP ranges.'),
    on_limit: oneOf(['refuse', 'clamp']).optional().describe('clamp shortens answers to fit.'),
    reveal: oneOf(['page', 'inline']).default('page'),
  },
  output: {
    id: z.string(),
    name: z.string(),
    state: z.enum(['page_ready', 'page_opened', 'declined', 'inline']),
    url: z.string().optional(),
    key: z.string().optional(),
    base_urls: Texts,
  },
  async handle({ reveal, ...request }, { app, actor, can_open_url, url_answer }) {
    const { getWrappedKey } = await import('../src/keys/wrapped-key.ts')
    if (url_answer !== undefined) {
      const { id, name } = await getWrappedKey(app.db, request.name)
      const state = url_answer === 'accept' ? ('page_opened' as const) : ('declined' as const)
      return { id, name, state, base_urls: {} }
    }
    const { provideKey } = await import('../src/jobs/wrapped-keys.ts')
    const { key, secret, url, base_urls } = await provideKey(app, request, reveal, actor)
    if (url !== null && can_open_url)
      return { open_url: { message: `See the new key "${key.name}", once.`, url } }
    return {
      id: key.id,
      name: key.name,
      state: secret ? ('inline' as const) : ('page_ready' as const),
      ...(url === null ? {} : { url }),
      ...(secret ? { key: secret.reveal() } : {}),
      base_urls: { ...base_urls },
    }
  },
  text({ id, name, state, url, key, base_urls }) {
    const bases = Object.entries(base_urls).map(([provider, base]) => `${provider}: ${base}`)
    const use = bases.length > 0 ? ` Base URLs: ${bases.join(', ')}.` : ''
    const made = `Key "${name}" (${id}) is made.`
    if (state === 'inline') return `${made} It is shown this once: ${key}${use}`
    if (state === 'page_opened') return `${made} The page shows it once.`
    if (state === 'declined')
      return `${made} Nobody has seen it; update_wrapped_key with action rotate gives another.`
    return `${made} Ask the person to open ${url} within 30 minutes; it shows the key once.${use}`
  },
})

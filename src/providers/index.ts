import { anthropic } from './anthropic/index.ts'
import { google } from './google/index.ts'
import { openai } from './openai/index.ts'
import { openrouter } from './openrouter/index.ts'
import type { Provider } from './provider.ts'

export const providers: readonly Provider[] = [anthropic, openai, google, openrouter]

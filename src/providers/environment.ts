import type { ProviderEnv } from '../config.ts'

/**
 * The variables of the providers with an admin API, apart from the providers themselves: the program
 * reads its environment before it loads what it may not need.
 */
export const providerEnvs: readonly ProviderEnv[] = [
  {
    id: 'anthropic',
    key_env: 'ANTHROPIC_ADMIN_KEY',
    base_url_env: 'OUTLAY_ANTHROPIC_ADMIN_BASE_URL',
  },
  { id: 'openai', key_env: 'OPENAI_ADMIN_KEY', base_url_env: 'OUTLAY_OPENAI_ADMIN_BASE_URL' },
  {
    id: 'openrouter',
    key_env: 'OPENROUTER_MANAGEMENT_KEY',
    base_url_env: 'OUTLAY_OPENROUTER_BASE_URL',
  },
]

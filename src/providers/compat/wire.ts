import { parseDecimal } from '../../money.ts'
import { type ChatDialect, OPENAI_CHAT } from '../openai/chat.ts'
import { openaiRoutes, openaiSurface } from '../openai/wire.ts'
import { type JsonObject, valueAt, type Wire } from '../wire.ts'

/** Servers that say in the usage what a request cost; a number of them, under the connection's name. */
const COSTS: Readonly<Record<string, (usage: JsonObject) => bigint | null>> = {
  // Dollars: https://openrouter.ai/docs/use-cases/usage-accounting
  openrouter: (usage) => scaled(usage['cost'], 9),
  // Ticks of 10⁻¹⁰ dollars: https://docs.x.ai/docs/api-reference
  'x-ai': (usage) => scaled(usage['cost_in_usd_ticks'], -1),
  // Dollars: https://docs.perplexity.ai/api-reference/chat-completions-post
  perplexity: (usage) => scaled(valueAt(usage, 'cost', 'total_cost'), 9),
}

/** Servers that count reasoning beside `completion_tokens`: https://docs.x.ai/docs/guides/reasoning */
const REASONING_BESIDE = ['x-ai']

/** Limits of models that nobody here knows: as large as the largest. */
const LARGEST = { context: 2_000_000, output: 200_000 }

/** An OpenAI-compatible server at a base URL that the user gave; `name` is its provider id. */
export function compatWire(name: string, base_url: string): Wire {
  const dialect: ChatDialect = {
    ...OPENAI_CHAT,
    caps: [['max_tokens'], ['max_completion_tokens']],
    completion_tokens_default: null,
    is_output_from_total: REASONING_BESIDE.includes(name),
    readCost: COSTS[name] ?? OPENAI_CHAT.readCost,
  }
  return {
    base_url: base_url.replace(/\/+$/, ''),
    surfaces: [
      {
        ...openaiSurface,
        account_headers: [],
        routes: openaiRoutes(dialect),
        limitsOf: () => LARGEST,
      },
    ],
  }
}

function scaled(amount: unknown, places: number): bigint | null {
  if (typeof amount !== 'number' || !Number.isFinite(amount) || amount < 0) return null
  return parseDecimal(String(amount), places)
}

import { Hono } from 'hono'

/** A made-up program that asks its model again and again, as an agent in a loop does. */
const REQUESTS_MAX = 50
/** As long as a ticket with its history: about 1,850 tokens. */
const PROMPT = 'The customer writes that the order has not arrived, and asks for a refund. '.repeat(
  100,
)
const OUTPUT_MAX = 400

export type AgentRun = {
  readonly answered: number
  /** What the first refusal said, in the provider's own form; null if there was none. */
  readonly refusal: {
    readonly status: number
    readonly code: string
    readonly message: string
  } | null
}

/** Sends through the proxy, one after the other, until it is refused. */
export async function runAgent(base_url: string, key: string, model: string): Promise<AgentRun> {
  for (let answered = 0; answered < REQUESTS_MAX; answered++) {
    const response = await fetch(`${base_url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        max_completion_tokens: OUTPUT_MAX,
        service_tier: 'default',
        messages: [{ role: 'user', content: PROMPT }],
      }),
    })
    const body = (await response.json()) as { error?: { code: string; message: string } }
    if (body.error) return { answered, refusal: { status: response.status, ...body.error } }
  }
  return { answered: REQUESTS_MAX, refusal: null }
}

/** The inference API of the made-up provider: https://developers.openai.com/api/reference/resources/chat */
export function chatProvider(): Hono {
  return new Hono()
    .get('/models', (c) => c.json({ object: 'list', data: [] }))
    .post('/chat/completions', async (c) => {
      const { model } = await c.req.json<{ model: string }>()
      return c.json({
        id: 'chatcmpl-demo',
        object: 'chat.completion',
        model,
        service_tier: 'default',
        choices: [
          {
            index: 0,
            finish_reason: 'stop',
            message: { role: 'assistant', content: 'Ask the customer for the order number.' },
          },
        ],
        usage: { prompt_tokens: 1_850, completion_tokens: 240, total_tokens: 2_090 },
      })
    })
}

import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What one answer is said to have used: as people ask and models answer. */
export const USED = { prompt_tokens: 20, completion_tokens: 200 }

type Ask = { readonly stream?: boolean; readonly max_completion_tokens?: number }
type Held = { readonly ask: Ask; readonly outgoing: ServerResponse }

export type RaceFarEnd = {
  readonly url: string
  /** Requests that wait for their answer. */
  held(): number
  /** From now on what comes is parked until `release`. */
  hold(): void
  release(): void
  close(): void
}

/** A provider that parks what it is asked, so that all of it is open at once, and answers it together. */
export async function startRaceFarEnd(): Promise<RaceFarEnd> {
  let parked: Held[] = []
  let is_holding = false
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.once('end', () => {
      const ask = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Ask
      if (!is_holding) return answer({ ask, outgoing })
      const one = { ask, outgoing }
      parked.push(one)
      outgoing.once('close', () => {
        parked = parked.filter((other) => other !== one)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    held: () => parked.length,
    hold: () => {
      is_holding = true
    },
    release() {
      is_holding = false
      for (const one of parked) answer(one)
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function answer({ ask, outgoing }: Held): void {
  const completion_tokens = Math.min(USED.completion_tokens, ask.max_completion_tokens ?? 512)
  const usage = { ...USED, completion_tokens, total_tokens: USED.prompt_tokens + completion_tokens }
  const about = { id: 'c1', model: 'gpt-5.4', service_tier: 'default' }
  if (ask.stream !== true) {
    outgoing.writeHead(200, { 'content-type': 'application/json' })
    const message = { role: 'assistant', content: 'hi' }
    outgoing.end(JSON.stringify({ ...about, choices: [{ index: 0, message }], usage }))
    return
  }
  outgoing.writeHead(200, { 'content-type': 'text/event-stream' })
  const delta = { index: 0, delta: { content: 'hi' }, finish_reason: null }
  const last = { index: 0, delta: {}, finish_reason: 'stop' }
  const chunks = [{ choices: [delta] }, { choices: [last] }, { choices: [], usage }]
  for (const chunk of chunks) outgoing.write(`data: ${JSON.stringify({ ...about, ...chunk })}\n\n`)
  outgoing.end('data: [DONE]\n\n')
}

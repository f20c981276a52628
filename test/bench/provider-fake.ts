import { createServer, type ServerResponse } from 'node:http'
import { parseArgs } from 'node:util'
import { DAY_MS, HOUR_MS } from '../../src/clock.ts'

/**
 * A provider's admin API with as much made-up traffic as asked for, in a process of its own so that
 * its work is not counted as ours. Hourly usage and daily costs in the shapes of
 * https://platform.openai.com/docs/api-reference/usage; the numbers follow from the hour and the series.
 * node provider-fake.ts --keys 100 --now <epoch ms>; prints its URL as one line of JSON.
 */
const { values } = parseArgs({ options: { keys: { type: 'string' }, now: { type: 'string' } } })
const keys = Number(values.keys)
const now = Number(values.now)

const MODELS = ['gpt-5.4', 'gpt-5.4-mini', 'gpt-5.4-nano']
/** Nano-dollars per token. */
const NANOS = { input_tokens: 750, cached_input_tokens: 75, output_tokens: 4_500 }

const server = createServer(({ url = '' }, response) => {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  const start = Number(searchParams.get('start_time')) * 1000
  const end = Math.min(Number(searchParams.get('end_time')) * 1000, now)
  if (pathname.endsWith('/usage/completions'))
    send(response, buckets(start, end, HOUR_MS, usageRows))
  else if (pathname.endsWith('/costs')) send(response, buckets(start, end, DAY_MS, costRows))
  else if (pathname.endsWith('/projects')) send(response, [{ id: 'proj_a', name: 'A' }])
  else if (pathname.endsWith('/api_keys')) send(response, Array.from({ length: keys }, keyRow))
  else send(response, [])
})

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}/v1` })}\n`)
})
process.once('SIGTERM', () => process.exit(0))

function send(response: ServerResponse, data: unknown): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ object: 'page', data, has_more: false, next_page: null }))
}

function buckets(
  start: number,
  end: number,
  width_ms: number,
  rows: (at: number) => unknown[],
): unknown[] {
  const list: unknown[] = []
  for (let at = start; at < end; at += width_ms)
    list.push({
      object: 'bucket',
      start_time: at / 1000,
      end_time: (at + width_ms) / 1000,
      results: rows(at),
    })
  return list
}

/** Each key uses two models. */
function usageRows(at: number): unknown[] {
  return Array.from({ length: keys * 2 }, (_, i) => {
    const { input, cached, output, requests } = tokensOf(at, i)
    return {
      object: 'organization.usage.completions.result',
      input_tokens: input + cached,
      input_uncached_tokens: input,
      input_cached_tokens: cached,
      input_cache_write_tokens: 0,
      output_tokens: output,
      num_model_requests: requests,
      project_id: 'proj_a',
      user_id: null,
      api_key_id: keyOf(i),
      model: modelOf(i),
      batch: false,
      service_tier: 'default',
    }
  })
}

function costRows(day: number): unknown[] {
  return Array.from({ length: keys * 2 }, (_, i) => {
    const sum = { input: 0, cached: 0, output: 0 }
    for (let at = day; at < Math.min(day + DAY_MS, now); at += HOUR_MS) {
      const { input, cached, output } = tokensOf(at, i)
      sum.input += input
      sum.cached += cached
      sum.output += output
    }
    const parts = [
      ['input_tokens', sum.input],
      ['cached_input_tokens', sum.cached],
      ['output_tokens', sum.output],
    ] as const
    return parts.map(([name, tokens]) => ({
      object: 'organization.costs.result',
      amount: { value: (tokens * NANOS[name]) / 1e9, currency: 'usd' },
      line_item: `${modelOf(i)}, ${name}`,
      project_id: 'proj_a',
      api_key_id: keyOf(i),
    }))
  }).flat()
}

function keyRow(_: unknown, i: number) {
  return { id: keyOf(i * 2), name: `service ${i}`, status: 'active' }
}

function tokensOf(at: number, series: number) {
  const requests = 1 + ((at / HOUR_MS + series * 7) % 97)
  return { requests, input: requests * 731, cached: requests * 1_900, output: requests * 211 }
}

function keyOf(series: number): string {
  return `key_${(series >> 1).toString(36).padStart(24, '0')}`
}

function modelOf(series: number): string {
  return MODELS[series % MODELS.length] ?? ''
}

import { DAY_MS, floorTo, HOUR_MS } from '../clock.ts'

/** One made-up source of traffic: so many requests at its busiest hour, so many tokens each. */
export type Stream = {
  readonly provider: 'anthropic' | 'openai'
  readonly model: string
  readonly key: string
  readonly workspace: string
  readonly requests_peak: number
  /** Per request: uncached input, cache read, output. */
  readonly tokens: readonly [input: number, cached: number, output: number]
  /** Nano-dollars per token, in the same order. */
  readonly nanos: readonly [input: number, cached: number, output: number]
}

export const STREAMS: readonly Stream[] = [
  {
    provider: 'anthropic',
    model: 'claude-sonnet-5',
    key: 'apikey_demo_web',
    workspace: 'wrkspc_demo_prod',
    requests_peak: 420,
    tokens: [900, 6_000, 350],
    nanos: [2_000, 200, 10_000],
  },
  {
    provider: 'anthropic',
    model: 'claude-opus-5',
    key: 'apikey_demo_ci',
    workspace: 'wrkspc_demo_tools',
    requests_peak: 45,
    tokens: [4_000, 40_000, 1_500],
    nanos: [5_000, 500, 25_000],
  },
  {
    provider: 'openai',
    model: 'gpt-5.4',
    key: 'key_demo_assistant',
    workspace: 'proj_demo_app',
    requests_peak: 160,
    tokens: [1_500, 800, 400],
    nanos: [2_500, 250, 15_000],
  },
  {
    provider: 'openai',
    model: 'gpt-5.4-mini',
    key: 'key_demo_etl',
    workspace: 'proj_demo_data',
    requests_peak: 900,
    tokens: [1_800, 0, 250],
    nanos: [750, 75, 4_500],
  },
]

export const NAMES = {
  apikey_demo_web: 'web-app',
  apikey_demo_ci: 'ci-review',
  wrkspc_demo_prod: 'Production',
  wrkspc_demo_tools: 'Developer tools',
  key_demo_assistant: 'assistant',
  key_demo_etl: 'nightly-etl',
  proj_demo_app: 'App',
  proj_demo_data: 'Data',
} as const satisfies Record<string, string>

export type Hour = {
  readonly stream: Stream
  readonly at: number
  readonly requests: number
  readonly tokens: readonly [input: number, cached: number, output: number]
}

/** How long after the fact the made-up provider reports. */
const LAG_MS = 5 * 60_000
/** A few days ago one key ran wild for an afternoon, whatever the weekday: something to find. */
const RUNAWAY = { key: 'apikey_demo_ci', days_ago: 3, hours: [13, 14, 15], factor: 9 }

/** The same numbers at every run: they follow from the hour alone. */
export function listHours(
  provider: Stream['provider'],
  range: { readonly start: number; readonly end: number },
  now: number,
): Hour[] {
  const hours: Hour[] = []
  const end = Math.min(range.end, now - LAG_MS)
  for (let at = floorTo(range.start, HOUR_MS); at < end; at += HOUR_MS)
    for (const [i, stream] of STREAMS.entries()) {
      if (stream.provider !== provider) continue
      const requests = requestsAt(stream, i, at, now)
      if (requests > 0) hours.push({ stream, at, requests, tokens: tokensOf(stream, requests) })
    }
  return hours
}

export function nanosOf({ stream, tokens }: Hour, part: 0 | 1 | 2): bigint {
  return BigInt(tokens[part]) * BigInt(stream.nanos[part])
}

function requestsAt(stream: Stream, index: number, at: number, now: number): number {
  const hour = (at % DAY_MS) / HOUR_MS
  const weekday = (Math.floor(at / DAY_MS) + 4) % 7
  const is_weekend = weekday === 0 || weekday === 6
  const daylight = Math.max(0.03, Math.exp(-(((hour - 14) / 4) ** 2)))
  const age_days = (floorTo(now, DAY_MS) - floorTo(at, DAY_MS)) / DAY_MS
  const growth = 1 - age_days * 0.004
  const is_wild =
    stream.key === RUNAWAY.key && age_days === RUNAWAY.days_ago && RUNAWAY.hours.includes(hour)
  const usual = daylight * (is_weekend ? 0.2 : 1) * growth * (0.8 + 0.4 * noise(index, at))
  const expected = stream.requests_peak * (is_wild ? RUNAWAY.factor : usual)
  return Math.max(0, Math.round(expected))
}

function tokensOf({ tokens }: Stream, requests: number): [number, number, number] {
  const [input, cached, output] = tokens
  return [input * requests, cached * requests, output * requests]
}

/** A number in [0, 1) that belongs to a stream and an hour. */
function noise(index: number, at: number): number {
  const x = Math.sin(index * 127.1 + (at / HOUR_MS) * 0.7311) * 43_758.5453
  return x - Math.floor(x)
}

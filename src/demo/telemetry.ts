import { HOUR_MS, isoTime } from '../clock.ts'

/** What three coding assistants sent in a made-up week, in the shapes that they really send. */
export function listTelemetry(now: number): object[] {
  return [claudeCode(now), codex(now), geminiCli(now)]
}

type Value = string | number

function attribute([key, value]: [string, Value]) {
  return { key, value: typeof value === 'number' ? { intValue: value } : { stringValue: value } }
}

function attributes(values: Readonly<Record<string, Value>>) {
  return Object.entries(values).map(attribute)
}

function payload(
  resource: Readonly<Record<string, Value>>,
  scope: string,
  records: readonly { readonly at: number; readonly values: Readonly<Record<string, Value>> }[],
) {
  return {
    resourceLogs: [
      {
        resource: { attributes: attributes(resource) },
        scopeLogs: [
          {
            scope: { name: scope },
            logRecords: records.map(({ at, values }) => ({
              timeUnixNano: `${at}000000`,
              observedTimeUnixNano: `${at}000000`,
              attributes: attributes(values),
            })),
          },
        ],
      },
    ],
  }
}

/** https://code.claude.com/docs/en/monitoring-usage: one `api_request` event a request. */
function claudeCode(now: number): object {
  const records = Array.from({ length: 12 }, (_, i) => ({
    at: now - (i + 1) * 5 * HOUR_MS,
    values: {
      'event.name': 'api_request',
      'event.timestamp': isoTime(now - (i + 1) * 5 * HOUR_MS),
      'session.id': `5d0c2b1e-0000-4000-8000-00000000000${i % 3}`,
      'user.email': i % 3 === 0 ? 'ada@demo.example' : 'linus@demo.example',
      model: 'claude-opus-5',
      input_tokens: 40 + i,
      output_tokens: 1_900 + 170 * i,
      cache_read_tokens: 61_000 + 4_000 * i,
      cache_creation_tokens: 3_200,
      cost_usd_micros: 103_700 + 9_250 * i,
      request_id: `req_demo_${i}`,
    },
  }))
  const resource = { 'service.name': 'claude-code', 'team.id': 'platform' }
  return payload(resource, 'com.anthropic.claude_code.events', records)
}

/** https://github.com/openai/codex: counts are texts, cached tokens are a part of the input. */
function codex(now: number): object {
  const records = Array.from({ length: 6 }, (_, i) => ({
    at: now - (i + 1) * 9 * HOUR_MS,
    values: {
      'event.name': 'codex.sse_event',
      'event.kind': 'response.completed',
      'event.timestamp': isoTime(now - (i + 1) * 9 * HOUR_MS),
      'conversation.id': '0199aaaa-0000-7000-8000-000000000001',
      model: 'gpt-5.4',
      input_token_count: String(52_000 + 1_000 * i),
      output_token_count: String(2_400 + 100 * i),
      cached_token_count: 45_000,
      reasoning_token_count: 800,
    },
  }))
  return payload({ 'service.name': 'codex_cli_rs', 'team.id': 'data' }, 'codex_otel', records)
}

/** https://github.com/google-gemini/gemini-cli: thoughts come on top of the output. */
function geminiCli(now: number): object {
  const records = Array.from({ length: 9 }, (_, i) => ({
    at: now - (i + 1) * 7 * HOUR_MS,
    values: {
      'event.name': 'gemini_cli.api_response',
      'event.timestamp': isoTime(now - (i + 1) * 7 * HOUR_MS),
      'session.id': 'aaaaaaaa-0000-4000-8000-000000000009',
      prompt_id: `demo-${i}`,
      model: 'gemini-2.5-pro',
      input_token_count: 48_000,
      cached_content_token_count: 30_000,
      output_token_count: 1_500,
      thoughts_token_count: 900 + i,
    },
  }))
  return payload({ 'service.name': 'gemini-cli', 'team.id': 'platform' }, 'gemini-cli', records)
}

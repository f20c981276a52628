import { expect, test } from 'vitest'
import type { UsageEvent } from '../../src/ledger/event.ts'
import { recordEvents } from '../../src/ledger/record.ts'
import { NO_USAGE } from '../../src/usage.ts'
import { CATALOG, countRows, type Home, NOW, openHome, totalsOf } from './home.ts'

const FILE = '.gemini/tmp/5f2c/chats/session-1.json'
const START = Date.parse('2026-11-20T10:00:00.000Z')

type Message = { readonly at_s: number; readonly input: number }

/** A chat as Gemini CLI keeps it: its requests name no session, and its log no request. */
function writeChat(home: Home, messages: readonly Message[]): void {
  const stamp = (at_s: number) => new Date(START + at_s * 1_000).toISOString()
  const said = messages.map(({ at_s, input }, i) => ({
    id: `m${i}`,
    timestamp: stamp(at_s),
    type: 'gemini',
    content: '',
    model: 'gemini-2.5-pro',
    tokens: { input, output: 50, cached: 0, thoughts: 10, tool: 0, total: input + 60 },
  }))
  const chat = { sessionId: 'gs1', startTime: stamp(0), lastUpdated: stamp(0), messages: said }
  home.write(FILE, JSON.stringify(chat))
}

function forwarded(response_id: string, { at_s, input }: Message): UsageEvent {
  const counts = { uncached_input_tokens: input, output_tokens: 60, reasoning_tokens: 10 }
  return {
    id: `req_${response_id}`,
    source: 'proxy',
    signal: null,
    client: 'gemini-cli',
    provider: 'google',
    model: 'gemini-2.5-pro',
    occurred_at: START + at_s * 1_000 - 2_000,
    session_id: null,
    request_id: null,
    response_id,
    user: null,
    project: null,
    billing_mode: 'api',
    service_tier: null,
    speed: null,
    usage: { ...NO_USAGE, requests: 1, ...counts },
    reported_cost_nanos: null,
    tags: {},
    quality: 'exact',
  }
}

test('of a session that the proxy saw without its name, each request counts once', async () => {
  const home = await openHome()
  const seen = [
    { at_s: 5, input: 100 },
    { at_s: 20, input: 200 },
    { at_s: 40, input: 100 },
  ]
  const direct = { at_s: 60, input: 100 }
  const events = seen.map((one, i) => forwarded(`r${i}`, one))
  await recordEvents(home.db, CATALOG, events, NOW)
  writeChat(home, seen.slice(0, 2))
  await home.import()
  writeChat(home, [...seen, direct])
  for (let i = 0; i < 2; i++) await home.import()
  expect(await countRows(home.db, 'ledger_entry')).toBe(7)
  // The last one has the counts of another, and went past the proxy.
  expect(await totalsOf(home.db)).toMatchObject({ requests: 4, input: 500, output: 240 })
})

test('what went through the proxy at another time is another request', async () => {
  const home = await openHome()
  await recordEvents(home.db, CATALOG, [forwarded('r0', { at_s: -3_600, input: 100 })], NOW)
  writeChat(home, [{ at_s: 5, input: 100 }])
  await home.import()
  expect(await totalsOf(home.db)).toMatchObject({ requests: 2, input: 200 })
})

import { describe, expect, test } from 'vitest'
import { MINUTE_MS } from '../../src/clock.ts'
import { answerSessions } from '../../src/ledger/sessions-answer.ts'
import { resolvePeriod } from '../../src/period.ts'
import listSessions from '../../tools/list-sessions.ts'
import { logRecord, logs, metrics, NOW, ns, openBook, point } from '../otlp/telemetry.ts'

function request(session: string, micros: number, given: object = {}, at = NOW - MINUTE_MS) {
  return logRecord(
    'claude-code',
    {
      'event.name': 'api_request',
      'session.id': session,
      'user.email': 'ann@example.com',
      model: 'claude-sonnet-4-5',
      input_tokens: 10,
      output_tokens: 20,
      cache_read_tokens: 300,
      cache_creation_tokens: 40,
      cost_usd_micros: micros,
      request_id: `req_${session}_${micros}`,
      ...given,
    },
    { time_ns: ns(at) },
  )
}

async function openSessions() {
  const { book, db, clock, spend } = await openBook()
  const ask = (client?: string, limit = 20) =>
    answerSessions(db, {
      period: resolvePeriod({ from: '2026-11-19', to: '2026-11-21' }, clock.now(), 'UTC'),
      client,
      limit,
      now: clock.now(),
    })
  return { book, ask, clock, spend }
}

describe('list_sessions', () => {
  test('lists the costliest first, with what is known of each', async () => {
    const { book, ask } = await openSessions()
    const edits = { 'session.id': 'b', type: 'added', model: 'claude-sonnet-4-5' }
    await book(
      logs(
        request('a', 1_000),
        request('b', 5_000, { model: 'claude-haiku-4-5' }),
        request('b', 21_000, {}, NOW - 30 * MINUTE_MS),
      ),
    )
    await book(
      metrics(
        point('claude-code', 'claude_code.lines_of_code.count', edits, { value: 12 }),
        point('claude-code', 'claude_code.commit.count', { 'session.id': 'b' }, { value: 2 }),
      ),
    )
    const answer = await ask()
    expect(answer.sessions).toMatchObject([
      {
        session: 'b',
        client: 'claude-code',
        user: 'ann@example.com',
        models: ['claude-sonnet-4-5', 'claude-haiku-4-5'],
        started_at: '2026-11-20T11:30:00.000Z',
        ended_at: '2026-11-20T11:59:00.000Z',
        cost_usd: '0.026000000',
        requests: 2,
        uncached_input_tokens: 20,
        cached_input_tokens: 600,
        cache_write_tokens: 80,
        output_tokens: 40,
        lines_added: 12,
        commits: 2,
      },
      { session: 'a', cost_usd: '0.001000000', requests: 1 },
    ])
    const text = listSessions.text({ ...answer })
    expect(text).toMatch(/2 sessions from 2026-11-19 to 2026-11-21/)
    expect(text).toMatch(/- claude-code b .*\$0\.03; 2 requests; 700 input and 40 output tokens/)
    expect(text).toMatch(/12 lines added.*2 commits/)
  })

  test('says how much it leaves out, by the limit and without a session', async () => {
    const { book, ask } = await openSessions()
    await book(logs(request('a', 1_000), request('b', 5_000), request('', 7_000)))
    const { sessions, session_count, has_more, notes } = await ask(undefined, 1)
    expect(sessions).toHaveLength(1)
    expect({ session_count, has_more }).toEqual({ session_count: 2, has_more: true })
    expect(notes).toContain('1 more session is left out; all 2 together are worth $0.006000.')
    expect(notes).toContain('$0.007000 was used without a session that is known.')
  })

  test('a session of seats is ranked by its list value and costs nothing', async () => {
    const { book, ask } = await openSessions()
    await book(logs(request('a', 1_000), request('b', 5_000, { 'billing.plan': 'max' })))
    expect((await ask()).sessions).toMatchObject([
      { session: 'b', cost_usd: '0.000000000', subscription_list_value_usd: '0.005000000' },
      { session: 'a' },
    ])
  })

  test('knows sessions from metrics alone, only those of a client if asked, and only known clients', async () => {
    const { book, ask, clock } = await openSessions()
    const usage = { 'session.id': 'g', model: 'gemini-2.5-flash', type: 'input' }
    await book(metrics(point('gemini-cli', 'gemini_cli.token.usage', usage, { value: 5_000 })))
    await book(logs(request('a', 1_000)))
    clock.set(NOW + 4 * MINUTE_MS)
    const [session] = (await ask('gemini-cli')).sessions
    expect(session).toMatchObject({ session: 'g', uncached_input_tokens: 5_000 })
    expect(session).not.toHaveProperty('requests')
    await expect(ask('gemini')).rejects.toThrow(/No client "gemini".*Closest: gemini-cli/)
  })

  test('only the part within the period counts', async () => {
    const { book, ask } = await openSessions()
    const before = Date.parse('2026-11-18T23:59:00Z')
    await book(logs(request('a', 1_000), request('a', 900, {}, before)))
    expect((await ask()).sessions).toMatchObject([{ cost_usd: '0.001000000', requests: 1 }])
  })
})

test('get_spend by session sums up what is beyond the ranked ones', async () => {
  const { book, spend } = await openSessions()
  const all = Array.from({ length: 1_100 }, (_, i) => request(`s${i}`, 1_000 + i))
  await book(logs(...all))
  const { total, rows, has_more, notes } = await spend(['session'])
  expect(total).toMatchObject({ requests: 1_100, cost_usd: '1.704450000' })
  expect(rows).toHaveLength(100)
  expect(rows[0]).toMatchObject({ session: 's1099', cost_usd: '0.002099000' })
  expect(has_more).toBe(true)
  expect(notes.join(' ')).toMatch(/More than 200 more rows, \$1\.50 together/)
})

test('a comparison finds a session that was among the least before', async () => {
  const { book, spend } = await openSessions()
  const before = Date.parse('2026-10-05T00:00:00Z')
  const many = Array.from({ length: 400 }, (_, i) => request(`old${i}`, 500 + i, {}, before))
  await book(logs(...many, request('long', 100, {}, before), request('long', 150)))
  const { rows, previous } = await spend(['session'], {}, true)
  expect(rows).toMatchObject([{ session: 'long', change_percent: 50 }])
  expect(previous?.cost_usd).toBe('0.279900000')
})

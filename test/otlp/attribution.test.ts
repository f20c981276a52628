import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { AttributeValue } from '../../src/otlp/signal.ts'
import { parsePolicy, readPolicy } from '../../src/policy.ts'
import { bag, logRecord, logs, openBook } from './telemetry.ts'

const CI = { id: '0123456789abcdef', name: 'ci' }

function request(attributes: Record<string, AttributeValue> = {}, service = 'claude-code') {
  const usage = { model: 'claude-sonnet-4-5', input_tokens: 1_000, output_tokens: 0 }
  const event = { 'event.name': 'api_request', 'session.id': 's1', ...usage }
  const resource = { 'service.name': service, 'team.id': 'platform', query_source: 'main' }
  return logs(logRecord(service, { ...event, ...attributes }, { resource: bag(resource) }))
}

function policy(text: object) {
  const parsed = parsePolicy(JSON.stringify(text), 'telemetry.json')
  return { policy: async () => parsed }
}

describe('whose use it is', () => {
  test.each<[string, Record<string, AttributeValue>, string | null]>([
    ['the address first', { 'user.email': 'a@b.c', 'user.id': 'x' }, 'a@b.c'],
    ['then who the program acts for', { 'enduser.id': 'e', 'user.account_uuid': 'u' }, 'e'],
    ['then the account', { 'user.account_uuid': 'u', 'user.id': 'x' }, 'u'],
    ['then the installation', { 'installation.id': 'i' }, 'i'],
    ['then the token', {}, 'ci'],
  ])('%s', async (_, attributes, expected) => {
    const { book, entries } = await openBook()
    await book(request(attributes), CI)
    expect(await entries()).toMatchObject([{ user: expected }])
  })

  test("a token's own user and tags cannot be set by telemetry", async () => {
    const tokens = { ci: { user: 'build-farm', tags: { 'team.id': 'release' } } }
    const { book, entries } = await openBook(policy({ tokens }))
    await book(request({ 'user.email': 'a@b.c' }), CI)
    const [entry] = await entries()
    expect(entry).toMatchObject({ user: 'build-farm' })
    expect(JSON.parse(String(entry?.['tags']))).toEqual({ 'team.id': 'release' })
  })

  test('tags are allowed one by one', async () => {
    const { book, spend } = await openBook({ tags: ['query_source'] })
    await book(request())
    expect((await spend(['tag:team.id', 'tag:query_source'])).rows).toMatchObject([
      { 'tag:team.id': 'platform', 'tag:query_source': 'main' },
    ])
  })

  test('a project is the last segment of a path, never the path', async () => {
    const { book, entries } = await openBook()
    await book(request({ 'workspace.host_paths': ['/home/ann/secret-client/shop/'] }))
    expect(await entries()).toMatchObject([{ project: 'shop' }])
    expect(JSON.stringify(await entries())).not.toMatch(/secret-client/)
  })
})

describe('who pays', () => {
  const organization = { 'organization.id': 'org-1' }
  test.each<[string, object, Record<string, AttributeValue>, string]>([
    ['by default the API', {}, {}, 'api'],
    ['the plan that it says', {}, { 'billing.plan': 'max' }, 'subscription'],
    ['an API plan', {}, { 'billing.plan': 'api' }, 'api'],
    [
      'the rule of the client',
      { clients: { 'claude-code': { billing_mode: 'subscription' } } },
      { 'billing.plan': 'api' },
      'subscription',
    ],
    [
      'the rule of the organisation before that of the client',
      {
        clients: { 'claude-code': { billing_mode: 'subscription' } },
        organizations: { 'org-1': { billing_mode: 'api' } },
      },
      organization,
      'api',
    ],
    [
      'the rule of the token before all',
      {
        organizations: { 'org-1': { billing_mode: 'api' } },
        tokens: { ci: { billing_mode: 'subscription' } },
      },
      organization,
      'subscription',
    ],
  ])('%s', async (_, rules, attributes, expected) => {
    const { book, entries } = await openBook(policy(rules))
    await book(request(attributes), CI)
    expect(await entries()).toMatchObject([{ billing_mode: expected }])
  })

  test('a sign-in with ChatGPT is a subscription', async () => {
    const { book, entries } = await openBook()
    const usage = {
      input_token_count: 5,
      output_token_count: 1,
      'event.kind': 'response.completed',
    }
    const event = { ...usage, 'event.name': 'codex.sse_event', model: 'gpt-5-codex' }
    await book(request({ ...event, auth_mode: 'Chatgpt' }, 'codex_exec'))
    expect(await entries()).toMatchObject([{ billing_mode: 'subscription' }])
  })

  test('seats are shown at list value and are in no total', async () => {
    const { book, spend } = await openBook()
    await book(request({ 'billing.plan': 'max' }))
    const { total, subscription_list_value_usd, notes } = await spend(['client'])
    expect(total).toMatchObject({ cost_usd: '0.000000000', requests: 0, input_tokens: 0 })
    expect(subscription_list_value_usd).toBe('0.003000000')
    expect(notes.join(' ')).toMatch(/Subscription use worth \$0\.003/)
  })
})

describe('telemetry.json', () => {
  test.each([
    ['{', /is not valid JSON/],
    ['{"clients":{"codex":{"billing_mode":"free"}}}', /clients\.codex\.billing_mode/],
    ['{"client":{}}', /client/],
  ])('%s is refused with its place', (text, expected) => {
    expect(() => parsePolicy(text, 'telemetry.json')).toThrow(expected)
  })

  test('is read from OUTLAY_HOME, and need not be there', async () => {
    const home = mkdtempSync(join(tmpdir(), 'outlay-policy-'))
    onTestFinished(() => rmSync(home, { recursive: true }))
    expect(await readPolicy(home)).toEqual({ clients: {}, organizations: {}, tokens: {} })
    const clients = { codex: { billing_mode: 'subscription' } }
    writeFileSync(join(home, 'telemetry.json'), JSON.stringify({ clients }))
    expect(await readPolicy(home)).toMatchObject({ clients })
    rmSync(join(home, 'telemetry.json'))
    mkdirSync(join(home, 'telemetry.json'))
    await expect(readPolicy(home)).rejects.toThrow(/telemetry\.json cannot be read/)
  })
})

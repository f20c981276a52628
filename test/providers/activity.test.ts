import { expect, test } from 'vitest'
import { fixedClock } from '../../src/clock.ts'
import { createGet } from '../../src/providers/http.ts'
import { openrouter } from '../../src/providers/openrouter/index.ts'
import { createPages } from '../../src/providers/pages.ts'
import { Secret } from '../../src/secret.ts'
import row from '../fixtures/providers/openrouter/activity.json' with { type: 'json' }
import { startFakeProvider } from '../helpers/fake-provider.ts'

const DAY = Date.parse('2026-11-18T00:00:00Z')

type Rows = readonly Readonly<Record<string, unknown>>[]

/** Reads the activity of an account whose total is `all` and whose keys say `keys` of themselves. */
async function read(all: Rows, keys: Readonly<Record<string, Rows>>) {
  const far = await startFakeProvider({
    '/activity': ({ query }) => ({ json: { data: keys[query.get('api_key_hash') ?? ''] ?? all } }),
    '/keys': ({ query }) => ({
      json: {
        data: query.get('offset') === '0' ? Object.keys(keys).map((hash) => ({ hash })) : [],
      },
    }),
  })
  const { admin } = openrouter
  const [variant] = admin?.reports[0]?.variants ?? []
  if (!admin || !variant) throw new Error('no report')
  const http = createGet({
    provider: 'openrouter',
    admin,
    base_url: far.url,
    key: new Secret('sk-or-v1-fake'),
    clock: fixedClock(DAY),
  })
  const window = { start: DAY, end: DAY + 86_400_000 }
  const rows = await variant.read(
    window,
    createPages(http.get, { provider: 'openrouter' }),
    http.get,
  )
  const byKey = rows.cost.map(({ dims, amount_nanos }) => [dims.api_key, amount_nanos] as const)
  return { rows, byKey: Object.fromEntries(byKey) }
}

test('what no key accounts for is a remainder without a key', async () => {
  const all = [{ ...row, usage: 1, requests: 10, prompt_tokens: 2_000 }]
  const { byKey } = await read(all, { key_a: [{ ...row, usage: 0.4 }] })
  expect(byKey).toEqual({ key_a: 400_000_000n, '': 600_000_000n })
})

test('a credit that no key has is kept, below zero', async () => {
  const all = [
    row,
    { ...row, usage: -2, requests: 0, prompt_tokens: 0, completion_tokens: 0, model: null },
  ]
  const { byKey, rows } = await read(all, { key_a: [row] })
  expect(byKey).toEqual({ key_a: 12_500_000n, '': -2_000_000_000n })
  expect(rows.malformed).toEqual([])
})

test('a key whose rows are unreadable does not come back without its name', async () => {
  const { byKey, rows } = await read([row], { key_a: [{ ...row, requests: 'many' }] })
  expect(byKey).toEqual({})
  expect(rows.malformed).toHaveLength(1)
})

test('a key that counts more than the total is the newer answer', async () => {
  const { byKey } = await read([row], { key_a: [{ ...row, usage: 0.02, requests: 4 }] })
  expect(byKey).toEqual({ key_a: 20_000_000n })
})

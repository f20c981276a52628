import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type CellDimensions,
  createAllocator,
  split,
  type UsageCell,
} from '../../src/ledger/allocate.ts'

const OPEN: CellDimensions = {
  model: null,
  api_key: null,
  workspace: null,
  user: null,
  service_tier: null,
  context_window: null,
  inference_geo: null,
}

function used(dims: Partial<CellDimensions>, tokens: number): UsageCell {
  return {
    dims: { ...OPEN, api_key: '', user: '', ...dims },
    weight: (component) => (component === 'output_tokens' ? tokens : 0),
  }
}

const USAGE = [
  used({ model: 'm', api_key: 'a', workspace: 'w', user: 'u', service_tier: 'standard' }, 300),
  used({ model: 'm', api_key: 'b', workspace: 'w', user: 'v', service_tier: 'standard' }, 100),
  used({ model: 'm', api_key: 'c', workspace: 'w', user: 'v', service_tier: 'batch' }, 9_000),
  used({ model: 'n', api_key: 'a', workspace: 'w', user: 'u', service_tier: 'standard' }, 7_000),
]

test('a cost without a key is split over the usage that matches in everything else', () => {
  const dims = { ...OPEN, model: 'm', workspace: 'w', service_tier: 'standard' }
  const shares = createAllocator(USAGE)({ dims, component: 'output_tokens', nanos: 1_000n })
  expect(shares).toEqual([
    { model: 'm', api_key: 'a', workspace: 'w', user: 'u', nanos: 750n, is_allocated: true },
    { model: 'm', api_key: 'b', workspace: 'w', user: 'v', nanos: 250n, is_allocated: true },
  ])
})

test('a cost that is reported in full stays where it was reported', () => {
  const dims = { ...OPEN, model: 'm', api_key: 'z', workspace: 'w', user: 'q' }
  const [share, ...rest] = createAllocator(USAGE)({ dims, component: 'output_tokens', nanos: 5n })
  expect(rest).toEqual([])
  expect(share).toMatchObject({ api_key: 'z', user: 'q', nanos: 5n, is_allocated: false })
})

test.each(['code_execution', 'cache_read_tokens'] as const)(
  'a cost of %s that no usage weighs keeps its open dimensions open',
  (component) => {
    const dims = { ...OPEN, model: 'm', workspace: 'w' }
    const shares = createAllocator(USAGE)({ dims, component, nanos: 5n })
    expect(shares).toEqual([
      { model: 'm', api_key: '', workspace: 'w', user: '', nanos: 5n, is_allocated: false },
    ])
  },
)

test('usage of a report that breaks out less is no contradiction, but of another model it is', () => {
  const cost = { ...OPEN, model: 'm', workspace: 'w', context_window: '0-200k' }
  const usage = [
    used({ model: 'm', workspace: 'w', api_key: 'a' }, 3),
    used({ model: 'm', workspace: 'w', api_key: 'b' }, 1),
    used({ model: 'n', workspace: 'w', api_key: 'c' }, 4),
  ]
  const shares = createAllocator(usage)({ dims: cost, component: 'output_tokens', nanos: 8n })
  expect(shares.map(({ api_key, nanos }) => [api_key, nanos])).toEqual([
    ['a', 6n],
    ['b', 2n],
  ])
})

test('shares sum to the amount exactly, whatever the weights and the sign', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }),
      fc.array(fc.bigInt({ min: 1n, max: 10n ** 12n }), { minLength: 1, maxLength: 20 }),
      (amount, weights) => {
        const parts = split(amount, weights)
        expect(parts.reduce((sum, part) => sum + part, 0n)).toBe(amount)
        const total = weights.reduce((sum, weight) => sum + weight, 0n)
        for (const [i, part] of parts.entries()) {
          const exact = amount * (weights[i] ?? 0n)
          const error = part * total - exact
          expect(error < total && error > -total).toBe(true)
        }
      },
    ),
  )
})

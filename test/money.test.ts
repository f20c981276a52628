import { expect, test } from 'vitest'
import {
  formatUsd,
  nanosFromCents,
  nanosFromUsd,
  parseDecimal,
  usdFromNanos,
} from '../src/money.ts'

test.each([
  ['731.2045', 7_312_045_000n],
  ['0', 0n],
  ['0.0000125', 125n],
  ['41280.000000', 412_800_000_000n],
  ['1e-7', 1n],
  ['-3.5', -35_000_000n],
  ['0.000000149999999999999999999999', 1n],
  ['0.00000015', 2n],
  ['0.00000025', 2n],
  ['0.00000025000000000000000001', 3n],
])('%s cents are %s nano-dollars', (cents, nanos) => {
  expect(nanosFromCents(cents)).toBe(nanos)
})

test.each([
  [0.482311, 482_311_000n],
  [0.1 + 0.2, 300_000_000n],
  ['1234567890.123456789', 1_234_567_890_123_456_789n],
  [1e21, 10n ** 30n],
])('%s dollars are %s nano-dollars', (usd, nanos) => {
  expect(nanosFromUsd(usd)).toBe(nanos)
})

test.each(['', 'twelve', 'NaN', '1.2.3', '0x10', '1_000', '--1', '.', 'Infinity'])(
  '%j is refused',
  (text) => {
    expect(() => parseDecimal(text, 9)).toThrow(RangeError)
  },
)

test('nano-dollars print with nine places and read back the same', () => {
  for (const nanos of [0n, 1n, -1n, 999_999_999n, 12_345_678_901n, -7n * 10n ** 18n])
    expect(nanosFromUsd(usdFromNanos(nanos))).toBe(nanos)
  expect(usdFromNanos(12_345_678_901n)).toBe('12.345678901')
})

test('people see cents, and more places below a cent', () => {
  expect(formatUsd(1_234_567_890_000n)).toBe('$1,234.57')
  expect(formatUsd(1_234_000n)).toBe('$0.001234')
  expect(formatUsd(-5_000_000_000n)).toBe('-$5.00')
  expect(formatUsd(0n)).toBe('$0.00')
})

import { expect, test } from 'vitest'
import { expectNothingLost } from './kill.ts'

/** A few rounds of what `test/oracle/otlp-kill.test.ts` does fifty times. */
test('killed while clients send, the receiver has every acknowledged batch once', async () => {
  const { resent } = await expectNothingLost({ kills: 3, seed: 7 })
  expect(resent).toBeGreaterThan(0)
}, 90_000)

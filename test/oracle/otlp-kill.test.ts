import { expect, test } from 'vitest'
import { expectNothingLost } from '../otlp/kill.ts'

const KILLS = 50

test(`killed at ${KILLS} random instants, the receiver has every acknowledged batch once`, async () => {
  const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 1_000_000)
  const { batches, resent, booked_before } = await expectNothingLost({ kills: KILLS, seed })
  console.info(
    `otlp-kill.test.ts: KILL_SEED=${seed}, ${batches} batches, ${resent} sent again, ${booked_before} records of them booked before the kill`,
  )
  expect(resent).toBeGreaterThan(KILLS)
})

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { rebuildAll } from '../../src/ledger/rollup.ts'
import { expectTruth, type Outlay, startOutlay } from './outlay.ts'
import { has_simulator, type Mode, startSimulator } from './sim.ts'

const DAYS = 95

/** One suite for each generation of reports, in files of their own so that two workers share the time. */
export function totalsSuite(mode: Mode): void {
  describe.skipIf(!has_simulator)(
    `totals equal what the providers would bill, ${mode} reports`,
    () => {
      test.each([1, 2, 3, 4, 5])('seed %i, 95 days', async (seed) => {
        const simulator = await startSimulator({ seed, days: DAYS, mode })
        const outlay = await startOutlay(simulator)
        const outcomes = await outlay.sync()
        expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
        await expectTruth(outlay, simulator)
        const { entries } = await simulator.log()
        expect(entries.filter(({ key_in_url, method }) => key_in_url || method !== 'GET')).toEqual(
          [],
        )

        const before = await rollups(outlay.app.db)
        await rebuildAll(outlay.app.db)
        expect(await rollups(outlay.app.db)).toEqual(before)

        await outlay.sync()
        await expectTruth(outlay, simulator, { axes: ['provider', 'day'] })
      })
    },
  )
}

async function rollups(db: Outlay['app']['db']): Promise<string> {
  const rows = await Promise.all([
    sql`select day, connection_id, model, api_key, workspace, user, requests, input_tokens,
      cast(billed_nanos as text) as billed, cast(metered_nanos as text) as metered from rollup_day
      order by 1, 2, 3, 4, 5, 6`.execute(db),
    sql`select day, connection_id, model, cast(billed_nanos as text) as billed,
      cast(metered_nanos as text) as metered from rollup_model_day order by 1, 2, 3`.execute(db),
  ])
  return JSON.stringify(rows.map((result) => result.rows))
}

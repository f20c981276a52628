import { settleByEvidence } from '../budgets/evidence.ts'
import { isUncertain } from '../budgets/hold-state.ts'
import { DAY_MS, HOUR_MS } from '../clock.ts'
import { findLease, takeLease } from '../store/lease.ts'
import type { Job } from './scheduler.ts'

/** Held for an hour after each look, so that the next one is due when it has run out. */
const LOOKED_LEASE = 'evidence'

/** Once an hour: whether the providers' reports say what interrupted requests can have cost. */
export const evidenceJob: Job = {
  name: 'evidence',
  async isDue({ db, holder, clock }) {
    const uncertain = await db
      .selectFrom('hold')
      .select('id')
      .where(isUncertain)
      .where('admitted_at', '<', clock.now() - DAY_MS / 2)
      .limit(1)
      .executeTakeFirst()
    return uncertain !== undefined && (await findLease(db, holder, LOOKED_LEASE)) === undefined
  },
  async run({ db, holder, clock, log }) {
    await takeLease(db, holder, { name: LOOKED_LEASE, ttl_ms: HOUR_MS })
    const settled = await settleByEvidence(db, clock.now())
    if (settled > 0)
      log.info('holds were settled by what the provider reported', { holds: settled })
  },
}

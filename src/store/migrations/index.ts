import type { Kysely } from 'kysely'
import { up as foundation } from './0001-foundation.ts'
import { up as telemetry } from './0002-telemetry.ts'
import { up as local } from './0003-local.ts'
import { up as proxy } from './0004-proxy.ts'
import { up as budgets } from './0005-budgets.ts'
import { up as prunedHolds } from './0006-pruned-holds.ts'
import { up as batchFiles } from './0007-batch-files.ts'
import { up as connectKind } from './0008-connect-kind.ts'
import { up as staleDays } from './0009-stale-days.ts'
import { up as budgetMirror } from './0010-budget-mirror.ts'
import { up as sharedIds } from './0011-shared-ids.ts'
import { up as heldEntries } from './0012-held-entries.ts'
import { up as chargeRevisions } from './0013-charge-revisions.ts'

export type Migration = { readonly name: string; up(db: Kysely<unknown>): Promise<void> }

/** In order. Never edited after a release; new ones go to the end. */
export const migrations: readonly Migration[] = [
  { name: '0001-foundation', up: foundation },
  { name: '0002-telemetry', up: telemetry },
  { name: '0003-local', up: local },
  { name: '0004-proxy', up: proxy },
  { name: '0005-budgets', up: budgets },
  { name: '0006-pruned-holds', up: prunedHolds },
  { name: '0007-batch-files', up: batchFiles },
  { name: '0008-connect-kind', up: connectKind },
  { name: '0009-stale-days', up: staleDays },
  { name: '0010-budget-mirror', up: budgetMirror },
  { name: '0011-shared-ids', up: sharedIds },
  { name: '0012-held-entries', up: heldEntries },
  { name: '0013-charge-revisions', up: chargeRevisions },
]

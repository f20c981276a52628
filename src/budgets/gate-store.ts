import { createRecorder } from '../ledger/record.ts'
import type { Nanos } from '../money.ts'
import type { Catalog } from '../pricing/catalog.ts'
import { type DriverName, openStatements } from '../store/driver.ts'
import type { Holder } from '../store/lease.ts'
import type { Subject } from './admission.ts'
import type { SpentRow } from './book.ts'
import { type Budget, budgetOf } from './budget.ts'
import { OPEN } from './hold-state.ts'
import { type SubjectRow, subjectOf } from './spent.ts'
import { windowAt } from './window.ts'

/**
 * The gate's own connection and its few statements. It has no query builder and never waits, because
 * everything here runs between two turns of the event loop.
 */
export type GateStore = ReturnType<typeof openGateStore>

export type HoldRow = {
  readonly hold_id: string
  readonly request_id: string
  readonly state: 'open' | 'settled' | 'uncertain' | 'released'
  readonly bound_nanos: Nanos
  readonly charged_nanos: Nanos | null
  readonly admitted_at: number
  readonly subject: Subject
}

const HOLD_COLUMNS = `cast(id as text) as hold_id, request_id, state, cast(bound_nanos as text) as bound,
  cast(charged_nanos as text) as charged, admitted_at,
  provider, model, wrapped_key, workspace, user, session_id, tags`

export const LIST_OPEN_HOLDS = `select ${HOLD_COLUMNS} from hold where ${OPEN}`

export function openGateStore(path: string, driver: DriverName, catalog: Catalog) {
  const statements = openStatements(path, driver)
  const { prepare } = statements
  const begin = prepare('begin immediate')
  const commit = prepare('commit')
  const rollback = prepare('rollback')
  const version = prepare('pragma data_version')
  const revisions = prepare(
    `select (select value from revision where name = 'budgets') as revision,
      (select value from revision where name = 'budget_list') as list_revision`,
  )
  const bump = prepare(`update revision set value = value + 1 where name = 'budgets'`)
  return {
    begin: () => void begin.run(),
    commit: () => void commit.run(),
    rollback: () => void rollback.run(),
    /** Changes when any other connection has written. */
    dataVersion: () => (version.all()[0] as { data_version: number }).data_version,
    revisions: () => revisions.all()[0] as { revision: number; list_revision: number },
    bumpRevision: () => void bump.run(),
    ...budgetStatements(prepare),
    ...holdStatements(prepare),
    recordEvent: createRecorder({ prepare }, catalog),
    close: () => statements.close(),
  }
}

type Prepare = ReturnType<typeof openStatements>['prepare']

function budgetStatements(prepare: Prepare) {
  const budgets = prepare(
    `select id, name, scope, scope_value, period, zone, week_start, action, thresholds, created_at,
      updated_at, cast(limit_nanos as text) as limit_nanos
    from budget where action = 'block' and removed_at is null order by id`,
  )
  const spent = prepare(
    `select budget_id, member, bucket_start, cast(spent_nanos as text) as spent from budget_spent
    where budget_id = ? and bucket_start >= ?`,
  )
  const spentSince = prepare(
    `select budget_id, member, bucket_start, cast(spent_nanos as text) as spent from budget_spent
    where revision > ?`,
  )
  const add = prepare(
    `insert into budget_spent (budget_id, member, bucket_start, spent_nanos, revision)
    values (?, ?, ?, ?, ?) on conflict do update
    set spent_nanos = spent_nanos + excluded.spent_nanos, revision = excluded.revision`,
  )
  return {
    listBlocking: () => (budgets.all() as Parameters<typeof budgetOf>[0][]).map(budgetOf),
    /** What the running window of a budget has spent. */
    listSpent: (budget: Budget, now: number) =>
      (spent.all(budget.id, windowAt(budget, now).start) as SpentText[]).map(spentOf),
    /** What was charged after a revision, whoever did it. */
    listSpentSince: (revision: number) => (spentSince.all(revision) as SpentText[]).map(spentOf),
    addSpent: ({ budget_id, member, bucket_start, spent_nanos }: SpentRow, revision: number) =>
      void add.run(budget_id, member, bucket_start, spent_nanos, revision),
  }
}

function spentOf({ spent, ...row }: SpentText): SpentRow {
  return { ...row, spent_nanos: BigInt(spent) }
}

type SpentText = Omit<SpentRow, 'spent_nanos'> & { readonly spent: string }

function holdStatements(prepare: Prepare) {
  const insert = prepare(
    `insert into hold (request_id, owner, state, bound_nanos, charged_nanos, admitted_at, deadline_at,
      settled_at, entry_id, provider, model, wrapped_key, workspace, user, session_id, tags)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const finish = prepare(
    `update hold set state = ?, charged_nanos = ?, settled_at = ?, entry_id = coalesce(?, entry_id)
    where id = ?`,
  )
  const find = prepare(`select ${HOLD_COLUMNS} from hold where id = ?`)
  const open = prepare(LIST_OPEN_HOLDS)
  const openIds = prepare(`select cast(id as text) as hold_id from hold where ${OPEN}`)
  const owner = prepare(
    `insert into hold_owner (id, pid, hostname, started_at) values (?, ?, ?, ?) on conflict do nothing`,
  )
  return {
    insertHold(row: NewHold): string {
      const { subject } = row
      const { lastInsertRowid } = insert.run(
        row.request_id,
        row.owner,
        row.state,
        row.bound_nanos,
        row.charged_nanos,
        row.admitted_at,
        row.deadline_at,
        row.settled_at,
        row.entry_id,
        subject.provider,
        subject.model,
        subject.wrapped_key,
        subject.workspace,
        subject.user,
        subject.session,
        JSON.stringify(subject.tags),
      )
      return String(lastInsertRowid)
    },
    finishHold: (hold_id: string, end: HoldEnd) =>
      void finish.run(end.state, end.charged_nanos, end.settled_at, end.entry_id, Number(hold_id)),
    findHold(hold_id: string): HoldRow | undefined {
      const [row] = find.all(Number(hold_id)) as HoldText[]
      return row && holdOf(row)
    },
    listOpen: () => (open.all() as HoldText[]).map(holdOf),
    listOpenIds: () => (openIds.all() as { hold_id: string }[]).map(({ hold_id }) => hold_id),
    insertOwner: ({ id, pid, hostname }: Holder, started_at: number) =>
      void owner.run(id, pid, hostname, started_at),
  }
}

export type NewHold = Omit<HoldRow, 'hold_id'> & {
  readonly owner: string
  readonly deadline_at: number
  readonly settled_at: number | null
  readonly entry_id: string | null
}

export type HoldEnd = {
  readonly state: 'settled' | 'uncertain' | 'released'
  readonly charged_nanos: Nanos | null
  readonly settled_at: number
  readonly entry_id: string | null
}

type HoldText = SubjectRow &
  Pick<HoldRow, 'hold_id' | 'request_id' | 'state' | 'admitted_at'> & {
    readonly bound: string
    readonly charged: string | null
  }

function holdOf(row: HoldText): HoldRow {
  const { hold_id, request_id, state, admitted_at, bound, charged } = row
  return {
    hold_id,
    request_id,
    state,
    admitted_at,
    bound_nanos: BigInt(bound),
    charged_nanos: charged === null ? null : BigInt(charged),
    subject: subjectOf(row),
  }
}

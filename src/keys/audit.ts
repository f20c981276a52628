import assert from 'node:assert/strict'
import { sha256 } from '../ids.ts'
import type { Db } from '../store/schema.ts'

/** What was done, by whom, to what. The detail is for people: ids, names, fingerprints, no secrets. */
export type AuditRecord = {
  readonly at: number
  /** Who asked: `cli`, `tool`, `page`, `environment`, …. */
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly detail?: AuditDetail
}

export type AuditDetail = Readonly<Record<string, string | number | boolean | null>>

const ROWS_MAX = 1_000
const FIRST = ''

/** Appends to the chain, inside the transaction that does what the record says. */
export async function appendAudit(db: Db, record: AuditRecord): Promise<void> {
  assert(db.isTransaction, 'an audit record belongs into the transaction of its deed')
  const last = await db
    .selectFrom('audit')
    .select('hash')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  const { at, actor, action, subject } = record
  const row = { at, actor, action, subject, detail: canonicalJson(record.detail ?? {}) }
  const previous_hash = last?.hash ?? FIRST
  const hash = hashOf(previous_hash, row)
  await db
    .insertInto('audit')
    .values({ ...row, previous_hash, hash })
    .execute()
}

/**
 * The id of the first record that does not follow from the one before it: it, or its predecessor, was
 * changed, removed or put in. Records cut off at the end cannot be seen from what is left.
 */
export async function verifyAudit(db: Db): Promise<number | undefined> {
  let previous_hash = FIRST
  let after = 0
  for (;;) {
    const rows = await db
      .selectFrom('audit')
      .selectAll()
      .where('id', '>', after)
      .orderBy('id')
      .limit(ROWS_MAX)
      .execute()
    for (const row of rows) {
      if (row.previous_hash !== previous_hash || row.hash !== hashOf(previous_hash, row))
        return row.id
      previous_hash = row.hash
      after = row.id
    }
    if (rows.length < ROWS_MAX) return undefined
  }
}

type Hashed = { at: number; actor: string; action: string; subject: string; detail: string }

function hashOf(previous_hash: string, { at, actor, action, subject, detail }: Hashed): string {
  return sha256(previous_hash, canonicalJson({ action, actor, at, detail, subject }))
}

/** One text per value: keys in order, so that the hash can be made again from the row. */
function canonicalJson(value: AuditDetail): string {
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(Object.fromEntries(entries))
}

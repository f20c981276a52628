import type { Db } from '../store/schema.ts'

/** Runs in the caller's transaction if it has one open, else in one of its own. */
export function inTransaction<Result>(db: Db, work: (trx: Db) => Promise<Result>): Promise<Result> {
  return db.isTransaction ? work(db) : db.transaction().execute(work)
}

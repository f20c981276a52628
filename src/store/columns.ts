import { type RawBuilder, sql } from 'kysely'
import type { Db } from './schema.ts'

/** A money column as exact text; `BigInt` it where it is used. */
export function nanos(column: string): RawBuilder<string> {
  return sql<string>`cast(${sql.ref(column)} as text)`
}

export function nullableNanos(column: string): RawBuilder<string | null> {
  return sql<string | null>`cast(${sql.ref(column)} as text)`
}

export type Cell = string | number | bigint | null

/**
 * Inserts any number of rows in one statement with one parameter, so that the statement is prepared
 * once. `conflict` is what follows the rows: nothing, or an `on conflict …` clause.
 */
export async function insertRows(
  db: Db,
  table: string,
  columns: readonly string[],
  rows: readonly (readonly Cell[])[],
  conflict: RawBuilder<unknown> = sql``,
): Promise<number> {
  let inserted = 0
  for (let at = 0; at < rows.length; at += ROWS_MAX) {
    const batch = JSON.stringify(rows.slice(at, at + ROWS_MAX), textOfBigInt)
    const values = columns.map((_, i) => sql`value ->> ${sql.lit(i)}`)
    const result = await sql`
      insert into ${sql.table(table)} (${sql.join(columns.map((name) => sql.ref(name)))})
      select ${sql.join(values)} from json_each(${batch}) where true ${conflict}`.execute(db)
    inserted += Number(result.numAffectedRows ?? 0)
  }
  return inserted
}

const ROWS_MAX = 2_000

/** A strict integer column turns the text back into the same integer. */
function textOfBigInt(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

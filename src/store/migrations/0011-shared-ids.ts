import { type Kysely, sql } from 'kysely'

/**
 * Some servers give the same ids again and again (Ollama has a thousand), so that an id alone finds ever
 * more entries: what shares one is looked up by its source and its time as well.
 * https://github.com/ollama/ollama/blob/main/middleware/openai.go
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const name of ['request', 'response']) {
    const index = sql.ref(`ledger_entry_${name}`)
    const id = sql.ref(`${name}_id`)
    await sql`drop index ${index}`.execute(db)
    await sql`create index ${index} on ledger_entry (${id}, source, occurred_at)
      where ${id} is not null`.execute(db)
  }
}

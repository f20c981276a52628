import { type Kysely, sql } from 'kysely'

/**
 * With which revision of `budgets` each sum was last charged, and how often the list of budgets itself
 * changed: a process reads what others charged since, instead of everything anew.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table budget_spent add column revision integer not null default 0`.execute(db)
  await sql`create index budget_spent_revision on budget_spent (revision)`.execute(db)
  await sql`insert into revision (name, value) values ('budget_list', 0)`.execute(db)
}

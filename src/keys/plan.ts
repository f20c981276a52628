import { DAY_MS, MINUTE_MS } from '../clock.ts'
import { UserError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Db } from '../store/schema.ts'

/** What a destructive call would do: the second call with the plan's id does exactly that. */
export type Deed = {
  readonly tool: string
  readonly action: string
  readonly subject: string
  readonly argument?: string | number | null
}

const PLAN_TTL_MS = 10 * MINUTE_MS

/** Gives the id that the person's agreement is told with. */
export async function createPlan(db: Db, deed: Deed, now: number): Promise<string> {
  await db
    .deleteFrom('plan')
    .where('expires_at', '<', now - DAY_MS)
    .execute()
  const id = newId('plan')
  await db
    .insertInto('plan')
    .values({ id, deed: textOf(deed), created_at: now, expires_at: now + PLAN_TTL_MS })
    .execute()
  return id
}

/**
 * The deed of a plan, which can be done once.
 * @throws UserError when the plan is unknown, used, too old, or of another tool.
 */
export async function takePlan(db: Db, id: string, tool: string, now: number): Promise<Deed> {
  const row = await db.selectFrom('plan').selectAll().where('id', '=', id).executeTakeFirst()
  const again = 'Call again without plan_id to see what would happen and get a new one.'
  if (!row) throw new UserError(`plan_id: there is no such plan. ${again}`)
  const deed = JSON.parse(row.deed) as Deed
  if (deed.tool !== tool)
    throw new UserError(`plan_id: this plan belongs to ${deed.tool}. ${again}`)
  if (row.expires_at <= now) throw new UserError(`plan_id: this plan is too old. ${again}`)
  const { numUpdatedRows } = await db
    .updateTable('plan')
    .set({ used_at: now })
    .where('id', '=', id)
    .where('used_at', 'is', null)
    .executeTakeFirst()
  if (numUpdatedRows === 0n) throw new UserError(`plan_id: this plan was carried out before.`)
  return deed
}

function textOf({ tool, action, subject, argument = null }: Deed): string {
  return JSON.stringify({ tool, action, subject, argument })
}

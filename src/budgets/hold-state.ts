import { type SqlBool, sql } from 'kysely'

/**
 * Which holds are meant, for SQL. The index over unsettled holds is a partial one, of which SQLite makes
 * use only where its own condition is in the query, word for word and without parameters: other words
 * read every hold that there ever was. https://www.sqlite.org/partialindex.html
 */
const UNSETTLED = `state in ('open', 'uncertain')`
export const OPEN = `${UNSETTLED} and state = 'open'`
const UNCERTAIN = `${UNSETTLED} and state = 'uncertain'`

export const isUnsettled = sql.raw<SqlBool>(UNSETTLED)
export const isOpen = sql.raw<SqlBool>(OPEN)
export const isUncertain = sql.raw<SqlBool>(UNCERTAIN)

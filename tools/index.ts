import connectProvider from './connect-provider.ts'
import getPrice from './get-price.ts'
import getSpend from './get-spend.ts'
import getStatus from './get-status.ts'
import listSessions from './list-sessions.ts'
import syncNow from './sync-now.ts'

export const tools = [getSpend, getPrice, getStatus, listSessions, syncNow, connectProvider]

import checkBudget from './check-budget.ts'
import connectProvider from './connect-provider.ts'
import createWrappedKey from './create-wrapped-key.ts'
import getPrice from './get-price.ts'
import getSpend from './get-spend.ts'
import getStatus from './get-status.ts'
import listKeys from './list-keys.ts'
import listSessions from './list-sessions.ts'
import setBudget from './set-budget.ts'
import syncNow from './sync-now.ts'
import updateWrappedKey from './update-wrapped-key.ts'

export const tools = [
  getSpend,
  getPrice,
  getStatus,
  checkBudget,
  listKeys,
  listSessions,
  syncNow,
  connectProvider,
  setBudget,
  createWrappedKey,
  updateWrappedKey,
]

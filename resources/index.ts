import budget from './budget.ts'
import budgets from './budgets.ts'
import keys from './keys.ts'
import prices from './prices.ts'
import setup from './setup.ts'
import spend from './spend.ts'
import status from './status.ts'

export const resources = [status, spend, budgets, budget, keys, prices, setup]

import prices from './prices.ts'
import setup from './setup.ts'
import spend from './spend.ts'
import status from './status.ts'

export const resources = [status, spend, prices, setup]
